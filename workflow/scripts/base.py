"""Rule base."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import SEQUENCE
from coresift.models.checkpoint import choose_device, configure_torch
from coresift.tables import read_table
from coresift.training.runs import pretrain

params = snakemake.params
base = params.base
subset = read_table(snakemake.input[0], SEQUENCE)
configure_torch(params.options["threads"])
pretrain(
    base["preset"],
    params.modality,
    subset,
    round(base["warmup_epochs"] * int(subset["length"].sum())),
    {**params.options, "learning_rate": base["warmup_learning_rate"]},
    params.seed,
    choose_device(params.device),
    snakemake.output.checkpoint,
    snakemake.output.metrics,
    params.work,
)
