"""Rule merge."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.influence.merge import merge_scores

merge_scores(
    snakemake.input.scores, snakemake.input.pool, snakemake.params.columns, snakemake.output[0]
)
