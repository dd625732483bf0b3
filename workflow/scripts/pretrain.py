"""Rule pretrain."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.subset import fetch_sequences, sample_pool
from coresift.files import read_json, write_json
from coresift.heldout.masks import Masks
from coresift.heldout.reading import Reading
from coresift.heldout.validation import held_out_validation
from coresift.models.checkpoint import choose_device, configure_torch
from coresift.selection.names import budget_of
from coresift.selection.tables import CORESET
from coresift.tables import read_table
from coresift.training.inert import complete
from coresift.training.runs import pretrain, training_residues

params = snakemake.params
options = complete(params.options, snakemake.resources)
preset, precision = options.pop("preset"), options.pop("precision")
epochs, residues = options.pop("epochs"), options.pop("residues")
points, size = options.pop("validation_points"), options.pop("validation_sequences")
coreset = read_table(snakemake.input.coreset, CORESET)
columns = ["seq_id", "sequence", "length"]
rows = fetch_sequences(snakemake.input.pool, coreset["seq_id"].to_list(), columns)
corpus = read_json(snakemake.input.corpus)
mean = corpus["residues"] / corpus["pool"]
validation = None
if snakemake.input.heldout:
    validation = held_out_validation(
        sample_pool(snakemake.input.heldout, size, params.heldout_seed),
        Masks(params.modality, options["mask_fraction"], 1, params.heldout_seed),
        Reading(options["max_tokens"], options["tokens_per_batch"], precision),
        points,
    )
configure_torch(options["threads"])
cut = pretrain(
    preset,
    params.modality,
    rows,
    residues
    or training_residues(
        rows["length"], budget_of(params.budget).residues(mean), epochs, params.compute
    ),
    options,
    params.seed,
    choose_device(params.device),
    snakemake.output.checkpoint,
    snakemake.output.metrics,
    params.work,
    precision,
    validation,
)
write_json(snakemake.output.cropped, {"cropped": cut})
