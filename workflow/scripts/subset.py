"""Rule subset."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.subset import random_subset
from coresift.corpus.tables import SEQUENCE
from coresift.tables import write_table

subset = random_subset(snakemake.input, snakemake.params.size, snakemake.params.seed)
write_table(snakemake.output[0], subset, SEQUENCE)
