"""Rule nearest."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.dedup import iter_pool
from coresift.tables import write_table
from coresift.tasks.identity import Comparison, identities
from coresift.tasks.readers.record import naming
from coresift.tasks.readers.settings import LabelledData
from coresift.tasks.tables import IDENTITY

files, params = snakemake.input, snakemake.params
pool = iter_pool(files.pool, ["seq_id", "sequence"]) if files.pool else None
with naming(snakemake.wildcards.task):
    table = identities(LabelledData(**params.task), params.modality, Comparison(**params.how), pool)
write_table(snakemake.output[0], table, IDENTITY)
