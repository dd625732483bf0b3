"""Rule validate_retrain."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import HELD_OUT, SEQUENCE
from coresift.heldout.masks import Masks
from coresift.models.checkpoint import choose_device, configure_torch
from coresift.tables import read_table, write_table
from coresift.training.inert import complete
from coresift.validate.retrain import Bench, asked_of, part_of_runs, runs_of
from coresift.validate.small import residues_of
from coresift.validate.tables import RETRAINED

files, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
pool = read_table(files.pool, SEQUENCE)
configure_torch(params.options["threads"])
bench = Bench(
    params.modality,
    pool,
    asked_of(wildcards.check, read_table(files.target, HELD_OUT), pool),
    Masks(**params.masks),
    complete(params.options, snakemake.resources),
    residues_of(pool, params.check["epochs"], params.check.get("share", 1.0)),
    choose_device(params.device),
)
runs = runs_of(wildcards.check, pool.height, params.check, params.masks["seed"])
part = part_of_runs(runs, int(wildcards.job), params.jobs)
losses = bench.retrain(part, params.work)
write_table(snakemake.output[0], losses, RETRAINED)
