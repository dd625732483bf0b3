"""Rule decontaminate."""

from coresift.dag.logs import start

start(snakemake.log[0])

import polars as pl
from coresift.corpus.decontaminate import ExampleIndex, contaminated
from coresift.corpus.kmer_limits import KmerLimits
from coresift.corpus.mmseqs import similar
from coresift.corpus.subset import sample_share
from coresift.corpus.tables import PROTECTED, REMOVED, SEQUENCE
from coresift.tables import read_arrow, read_table, write_table

options, modality = snakemake.params.options, snakemake.params.modality
distinct = pl.DataFrame(read_arrow([snakemake.input.bucket], SEQUENCE))
pool = sample_share(distinct, snakemake.params.sample, snakemake.params.seed)
examples = read_table(snakemake.input.protected, PROTECTED)
if options["method"] == "mmseqs2":
    limits = options["identity"], options["coverage"]
    removed = similar(pool, examples, modality, *limits, snakemake.threads)
else:
    limits = KmerLimits(options["k"], options["containment"], options["match"])
    index = ExampleIndex.build(examples, limits.k)
    removed = contaminated(pool, index, limits.containment, limits.least)
write_table(snakemake.output.removed, removed, REMOVED)
write_table(snakemake.output.clean, pool.join(removed, on="seq_id", how="anti"), SEQUENCE)
