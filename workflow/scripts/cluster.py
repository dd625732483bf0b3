"""Rule cluster."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.mmseqs import cluster
from coresift.corpus.tables import CLUSTER
from coresift.tables import write_table

options = snakemake.params.options
clusters = cluster(
    snakemake.input,
    snakemake.params.modality,
    options["identity"],
    options["coverage"],
    snakemake.threads,
    snakemake.resources.mem_mb,
)
write_table(snakemake.output[0], clusters, CLUSTER)
