"""Rule results."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.report.results import write_results

params = snakemake.params
write_results(
    params.cells,
    snakemake.input.metrics,
    snakemake.input.predictions,
    params.modality,
    params.bootstrap,
    params.confidence,
    params.seed,
    snakemake.output,
)
