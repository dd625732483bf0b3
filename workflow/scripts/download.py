"""Rule download."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.dag.download import download

download(snakemake.output[0], **snakemake.params.source)
