"""Rule base."""

from coresift.dag.logs import start

start(snakemake.log[0])

import polars as pl
from coresift.corpus.tables import SEQUENCE
from coresift.files import write_json
from coresift.models.checkpoint import choose_device, configure_torch
from coresift.tables import read_table
from coresift.training.inert import complete
from coresift.training.runs import pretrain

params = snakemake.params
base = params.base
rows = read_table(snakemake.input[0], SEQUENCE)
configure_torch(params.options["threads"])
cut = pretrain(
    base["preset"],
    params.modality,
    rows,
    round(base["warmup_epochs"] * int(rows["length"].cast(pl.Int64).sum())),
    {
        **complete(params.options, snakemake.resources),
        "learning_rate": base["warmup_learning_rate"],
    },
    params.seed,
    choose_device(params.device),
    snakemake.output.checkpoint,
    snakemake.output.metrics,
    params.work,
    base["precision"],
)
write_json(snakemake.output.cropped, {"cropped": cut})
