"""Rule download."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.download import download

download(snakemake.output[0], **snakemake.params.source)
