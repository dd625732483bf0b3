"""Rules evaluate_*."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.config import Task
from coresift.io import PREDICTION, write_json, write_table
from coresift.models.checkpoint import choose_device, configure_torch
from coresift.tasks.evaluate import evaluate_task

params = snakemake.params
configure_torch(snakemake.threads)
metrics, predictions = evaluate_task(
    snakemake.input.checkpoint,
    Task(**params.task),
    params.modality,
    params.seeds,
    params.tokens_per_batch,
    choose_device(params.device),
    params.store,
)
write_table(snakemake.output.predictions, predictions, PREDICTION)
write_json(snakemake.output.metrics, metrics)
