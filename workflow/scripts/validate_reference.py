"""Rule validate_reference."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import SEQUENCE
from coresift.models.checkpoint import choose_device, configure_torch
from coresift.tables import read_table
from coresift.training.inert import complete
from coresift.training.runs import pretrain
from coresift.validate.small import residues_of

params = snakemake.params
pool = read_table(snakemake.input[0], SEQUENCE)
configure_torch(params.options["threads"])
pretrain(
    params.options["preset"],
    params.modality,
    pool,
    residues_of(pool, params.epochs, params.share),
    complete(params.options, snakemake.resources),
    int(snakemake.wildcards.seed),
    choose_device(params.device),
    snakemake.output.checkpoint,
    snakemake.output.metrics,
    params.work,
)
