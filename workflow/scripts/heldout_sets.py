"""Rule heldout_sets."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.heldout import POOL, file_set, held_out_sets, pool_set
from coresift.corpus.normalise import Limits
from coresift.corpus.tables import HELD_OUT
from coresift.files import write_json
from coresift.tables import write_table

files, params = snakemake.input, snakemake.params
sets, reports = {}, {}
if files.heldout:
    sets[POOL] = pool_set(files.heldout, params.size, params.seed)
for name, path in zip(params.names, files.fasta, strict=True):
    limits = Limits.of(params.corpus)
    sets[name], reports[name] = file_set(
        path, params.modality, limits, params.size, params.seed, files.pool
    )
found = held_out_sets(sets, files.pool, params.k)
write_json(snakemake.output.report, reports)
write_table(snakemake.output.sets, found, HELD_OUT)
