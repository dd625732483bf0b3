"""Rule coreset_fasta."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.corpus.export import write_fasta
from coresift.io import CORESET, read_table

write_fasta(read_table(snakemake.input.coreset, CORESET), snakemake.input.pool, snakemake.output[0])
