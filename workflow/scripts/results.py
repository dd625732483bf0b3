"""Rule results."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.report.results import read_cells, write_results

files, params = snakemake.input, snakemake.params
write_results(read_cells(files, params), params, snakemake.output)
