"""Rule embed."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.subset import sample_pool
from coresift.files import write_json
from coresift.models.checkpoint import choose_device, configure_torch
from coresift.report import plots
from coresift.report.embedding import pooled_states, principal_axes
from coresift.report.tables import EMBEDDING
from coresift.selection.tables import CORESET
from coresift.tables import read_table, write_table

files, params = snakemake.input, snakemake.params
configure_torch(params.threads)
sample = sample_pool(files.pool, params.size, params.seed)
states, cropped = pooled_states(
    files.checkpoint,
    params.modality,
    sample["sequence"].to_list(),
    params.max_tokens,
    params.tokens_per_batch,
    choose_device(params.device),
    params.store,
)
write_json(snakemake.output.cropped, {"cropped": cropped})
points = principal_axes(sample["seq_id"], states)
write_table(snakemake.output.table, points, EMBEDDING)
coresets = {n: read_table(p, CORESET) for n, p in zip(params.names, files.coresets, strict=True)}
plots.save(plots.embedding(points, coresets), snakemake.output.plot)
