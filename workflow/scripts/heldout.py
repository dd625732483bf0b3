"""Rule heldout."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import HELD_OUT
from coresift.files import write_json
from coresift.heldout.losses import held_out_losses
from coresift.heldout.masks import Masks
from coresift.heldout.reading import Reading
from coresift.heldout.tables import HELD_OUT_LOSS
from coresift.models.checkpoint import choose_device, configure_torch
from coresift.tables import read_table, write_table

files, params = snakemake.input, snakemake.params
configure_torch(params.threads)
losses, counts = held_out_losses(
    files.checkpoint,
    read_table(files.sets, HELD_OUT),
    Masks(**params.masks),
    Reading(**params.reading),
    choose_device(params.device),
)
write_table(snakemake.output.losses, losses, HELD_OUT_LOSS)
write_json(snakemake.output.cropped, counts)
