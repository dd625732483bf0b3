"""Rule make_report."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.report.build import build_report

params = snakemake.params
build_report(
    snakemake.input,
    snakemake.output,
    params.run,
    params.cells,
    params.names,
    params.evaluate,
    params.compute,
    params.seed,
)
