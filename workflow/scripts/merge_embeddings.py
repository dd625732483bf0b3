"""Rule merge_embeddings."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import write_digest, write_rows

write_rows(snakemake.output.states, snakemake.input, "states")
write_digest(snakemake.output.digest, "states", snakemake.output.states)
