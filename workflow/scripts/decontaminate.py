"""Rule decontaminate."""

from coresift.logs import start

start(snakemake.log[0])

import polars as pl
from coresift.config import Task
from coresift.corpus.decontaminate import HeldOut, contaminated
from coresift.corpus.mmseqs import similar
from coresift.corpus.subset import sample_share
from coresift.io import REMOVED, SEQUENCE, read_arrow, write_table
from coresift.tasks.data import held_out_examples

options, modality = snakemake.params.options, snakemake.params.modality
tasks = {name: Task(**values) for name, values in snakemake.params.tasks.items()}
distinct = pl.DataFrame(read_arrow([snakemake.input.bucket], SEQUENCE))
pool = sample_share(distinct, snakemake.params.sample, snakemake.params.seed)
examples = held_out_examples(tasks if options["enabled"] else {}, options["splits"], modality)
if options["method"] == "mmseqs2":
    limits = options["identity"], options["coverage"]
    removed = similar(pool, examples, modality, *limits, snakemake.threads)
else:
    removed = contaminated(pool, HeldOut.build(examples, options["k"]), options["containment"])
write_table(snakemake.output.removed, removed, REMOVED)
write_table(snakemake.output.pool, pool.join(removed, on="seq_id", how="anti"), SEQUENCE)
