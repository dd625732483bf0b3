"""Rule fisher."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.influence.fisher import merge_parts
from coresift.influence.kronecker import eigenbases
from coresift.models.checkpoint import configure_torch

configure_torch(snakemake.params.threads)
sums = merge_parts(snakemake.input)
result = eigenbases(sums) if snakemake.wildcards.kind == "kronecker" else sums
result.save(snakemake.output[0])
