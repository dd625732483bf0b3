"""Rule deduplicate."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.dedup import deduplicate
from coresift.corpus.tables import SEQUENCE
from coresift.tables import write_arrow

write_arrow(snakemake.output[0], deduplicate(snakemake.input, snakemake.params.blocks), SEQUENCE)
