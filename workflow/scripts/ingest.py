"""Rule ingest."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.ingest import ingest
from coresift.corpus.normalise import Limits
from coresift.files import write_json

options = snakemake.params.corpus
report = ingest(
    snakemake.input.fasta,
    snakemake.wildcards.source,
    snakemake.output.parts,
    snakemake.output.rejects,
    snakemake.params.modality,
    Limits.of(options),
    options["blocks"],
    snakemake.resources.chunk_bytes,
)
write_json(snakemake.output.report, report)
