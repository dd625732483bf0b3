"""Rule subset."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.subset import random_subset
from coresift.corpus.tables import SEQUENCE
from coresift.tables import write_table

files, params = snakemake.input, snakemake.params
subset = random_subset(files.pool, params.size, params.seed, files.reports, params.key)
write_table(snakemake.output[0], subset, SEQUENCE)
