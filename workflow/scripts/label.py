"""Rule label."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.labels import label_records
from coresift.corpus.normalise import Limits

params = snakemake.params
label_records(
    snakemake.input.fasta,
    params.regex,
    snakemake.output,
    params.modality,
    Limits.of(params.corpus),
    params.corpus["blocks"],
    snakemake.resources.chunk_bytes,
)
