"""Rule finetune."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import SEQUENCE
from coresift.files import write_json
from coresift.models.checkpoint import choose_device, configure_torch
from coresift.tables import read_table
from coresift.training.inert import complete
from coresift.training.runs import finetune

params = snakemake.params
options = complete(params.options, snakemake.resources)
epochs, precision = options.pop("epochs"), options.pop("precision")
configure_torch(options["threads"])
cut = finetune(
    snakemake.input.base,
    params.modality,
    read_table(snakemake.input.subset, SEQUENCE),
    epochs,
    options,
    params.seed,
    choose_device(params.device),
    snakemake.output.checkpoint,
    snakemake.output.metrics,
    params.work,
    precision,
)
write_json(snakemake.output.cropped, {"cropped": cut})
