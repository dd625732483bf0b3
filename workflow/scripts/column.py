"""Rule column."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import write_digest
from coresift.tables import read_columns, write_table

score = snakemake.wildcards.score
table = read_columns(snakemake.input[0], ["seq_id", score])
write_table(snakemake.output.table, table, dict(table.schema))
write_digest(snakemake.output.digest, score, snakemake.output.table)
