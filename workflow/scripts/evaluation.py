"""Rule evaluation."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.report.notes import notes_table
from coresift.report.results import read_cells, write_rows

files, params = snakemake.input, snakemake.params
notes = notes_table(params.cells, files.metrics)
write_rows(read_cells(files, params), notes, params, snakemake.output)
