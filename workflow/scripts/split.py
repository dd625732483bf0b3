"""Rule split."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.split import split
from coresift.corpus.tables import SEQUENCE
from coresift.tables import read_table, write_table

params, grouping = snakemake.params, snakemake.input.grouping
clean = read_table(snakemake.input.bucket, SEQUENCE)
pool, heldout = split(clean, params.share, params.seed, grouping[0] if grouping else None)
write_table(snakemake.output.heldout, heldout, SEQUENCE)
write_table(snakemake.output.pool, pool, SEQUENCE)
