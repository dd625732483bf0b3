"""Rule heldout_unigram."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import HELD_OUT
from coresift.heldout.masks import Masks
from coresift.heldout.tables import HELD_OUT_LOSS
from coresift.heldout.unigram import unigram_losses
from coresift.tables import read_table, write_table

losses = unigram_losses(read_table(snakemake.input[0], HELD_OUT), Masks(**snakemake.params.masks))
write_table(snakemake.output[0], losses, HELD_OUT_LOSS)
