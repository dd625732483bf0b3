"""Rule sources."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.export.sources import describe_sources
from coresift.files import write_json

paths = dict(zip(snakemake.params.names, snakemake.input, strict=True))
write_json(snakemake.output[0], describe_sources(paths))
