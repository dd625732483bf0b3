"""Rule pretrain."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.subset import fetch_sequences
from coresift.files import read_json, write_json
from coresift.models.checkpoint import choose_device, configure_torch
from coresift.selection.tables import CORESET
from coresift.tables import read_table
from coresift.training.runs import pretrain

params = snakemake.params
options = dict(params.options)
preset, precision = options.pop("preset"), options.pop("precision")
epochs, compute = options.pop("epochs"), options.pop("compute")
coreset = read_table(snakemake.input.coreset, CORESET)
columns = ["seq_id", "sequence", "length"]
rows = fetch_sequences(snakemake.input.pool, coreset["seq_id"].to_list(), columns)
corpus = read_json(snakemake.input.corpus)
residues = int(rows["length"].sum())
if compute == "equal_tokens":
    residues = params.budget * corpus["residues"] / corpus["pool"]
configure_torch(options["threads"])
cut = pretrain(
    preset,
    params.modality,
    rows,
    round(epochs * residues),
    options,
    params.seed,
    choose_device(params.device),
    snakemake.output.checkpoint,
    snakemake.output.metrics,
    params.work,
    precision,
)
write_json(snakemake.output.cropped, {"cropped": cut})
