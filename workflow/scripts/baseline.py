"""Rules baseline_*."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.config import Task
from coresift.io import PREDICTION, write_json, write_table
from coresift.tasks.evaluate import kmer_baseline

result = kmer_baseline(Task(**snakemake.params.task), snakemake.params.modality)
assert result is not None, "the DAG asks for a baseline only where there is one"
write_table(snakemake.output.predictions, result[1], PREDICTION)
write_json(snakemake.output.metrics, result[0])
