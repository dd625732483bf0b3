"""Rule column."""

from coresift.dag.logs import start

start(snakemake.log[0])

import hashlib

from coresift.files import write_json
from coresift.tables import read_columns, write_table

score = snakemake.wildcards.score
table = read_columns(snakemake.input[0], ["seq_id", score])
write_table(snakemake.output.table, table, dict(table.schema))
with open(snakemake.output.table, "rb") as handle:
    write_json(snakemake.output.digest, {score: hashlib.file_digest(handle, "sha256").hexdigest()})
