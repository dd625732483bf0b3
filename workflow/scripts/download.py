"""Rule download."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.dag.download import download
from coresift.dag.settings import Download

source = Download(**snakemake.config["downloads"][snakemake.wildcards.file])
download(snakemake.output[0], **source.model_dump())
