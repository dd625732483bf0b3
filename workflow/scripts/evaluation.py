"""Rule evaluation."""

from coresift.dag.logs import start

start(snakemake.log[0])

import polars as pl
from coresift.report.identity import write_by_identity
from coresift.report.notes import notes_table
from coresift.report.results import read_cells, write_rows

files, params = snakemake.input, snakemake.params
seen = write_by_identity(files, params, snakemake.output)
notes = pl.concat([notes_table(params.cells, files.metrics), seen])
write_rows(read_cells(files, params), notes, params, snakemake.output)
