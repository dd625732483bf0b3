"""Rule coreset_fasta."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.export import write_fasta
from coresift.selection.tables import CORESET
from coresift.tables import read_table

write_fasta(read_table(snakemake.input.coreset, CORESET), snakemake.input.pool, snakemake.output[0])
