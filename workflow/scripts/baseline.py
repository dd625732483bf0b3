"""Rules baseline_*."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.config import Task
from coresift.io import PREDICTION, write_json, write_table
from coresift.tasks.baseline import baseline

metrics, predictions = baseline(Task(**snakemake.params.task), snakemake.params.modality)
write_table(snakemake.output.predictions, predictions, PREDICTION)
write_json(snakemake.output.metrics, metrics)
