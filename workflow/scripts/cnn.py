"""Rules cnn_*."""

from coresift.dag.logs import start

start(snakemake.log[0])

from pathlib import Path

from coresift.files import write_json
from coresift.models.checkpoint import choose_device, configure_torch
from coresift.tables import write_table
from coresift.tasks.cnn import evaluate_cnn
from coresift.tasks.problem import Work
from coresift.tasks.readers.record import naming
from coresift.tasks.settings import Task
from coresift.tasks.tables import PREDICTION

params = snakemake.params
work = Work(Path(params.work), snakemake.resources.checkpoint_steps, {"content": params.content})
configure_torch(params.threads)
with naming(snakemake.rule.removeprefix("cnn_")):
    metrics, predictions = evaluate_cnn(
        Task(**params.task),
        params.modality,
        params.seeds,
        params.tokens_per_batch,
        choose_device(params.device),
        work,
        params.precision,
    )
write_table(snakemake.output.predictions, predictions, PREDICTION)
write_json(snakemake.output.metrics, metrics)
work.finish(params.seeds)
