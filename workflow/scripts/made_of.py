"""Rule made_of."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import write_json

write_json(snakemake.output[0], snakemake.params.made_of)
