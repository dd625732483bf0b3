"""Rule results."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import write_text
from coresift.report.notes import notes_table, trainings_table
from coresift.report.results import read_cells, write_results

files, params, output = snakemake.input, snakemake.params, snakemake.output
notes = notes_table(params.cells, files.metrics)
write_text(output.notes, notes.write_csv())
write_text(output.trainings, trainings_table(params.cells, files.metrics).write_csv())
write_results(read_cells(files, params), notes, params, output)
