"""Rule untrained."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.models.checkpoint import build_model, save_model

params = snakemake.params
made = build_model(params.preset, params.modality, params.seed, params.max_tokens)
save_model(snakemake.output[0], *made)
