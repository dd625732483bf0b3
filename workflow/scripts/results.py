"""Rule results."""

from coresift.dag.logs import start

start(snakemake.log[0])

import polars as pl
from coresift.files import write_text
from coresift.report.identity import write_by_identity
from coresift.report.notes import notes_table, trainings_table
from coresift.report.results import read_cells, write_results

files, params, output = snakemake.input, snakemake.params, snakemake.output
seen = write_by_identity(files, params, output)
notes = pl.concat([notes_table(params.cells, files.metrics), seen])
write_text(output.notes, notes.write_csv())
write_text(output.trainings, trainings_table(params.cells, files.metrics).write_csv())
write_results(read_cells(files, params), notes, params, output)
