"""Rule task_fasta."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.tasks.data import write_split
from coresift.tasks.readers.record import naming
from coresift.tasks.readers.settings import LabelledData

params, wildcards = snakemake.params, snakemake.wildcards
with naming(wildcards.task):
    write_split(LabelledData(**params.task), wildcards.split, params.modality, snakemake.output[0])
