"""Rule deduplicate."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.corpus.dedup import deduplicate
from coresift.io import SEQUENCE, write_arrow

write_arrow(snakemake.output[0], deduplicate(snakemake.input, snakemake.params.blocks), SEQUENCE)
