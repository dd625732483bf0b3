"""Rule select."""

from coresift.dag.logs import start

start(snakemake.log[0])

import numpy as np
from coresift.selection.names import budget_of
from coresift.selection.request import Request
from coresift.selection.strategies import ranked_pool, select
from coresift.selection.tables import CORESET
from coresift.tables import read_columns, read_table, write_table

files, wildcards = snakemake.input, snakemake.wildcards
request = Request(**snakemake.params.request)
features = {request.feature: files.features[0]} if request.feature else {}
coreset = select(
    ranked_pool(files.pool, files.score, features),
    request,
    budget_of(wildcards.budget),
    int(wildcards.seed),
    groups=read_columns(files.groups[0], ["seq_id", request.by]) if request.by else None,
    reference=read_table(files.reference[0], CORESET) if request.reference else None,
    states=np.load(files.states[0], mmap_mode="r") if files.states else None,
)
write_table(snakemake.output[0], coreset, CORESET)
