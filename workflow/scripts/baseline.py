"""Rules baseline_*."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import write_json
from coresift.tables import write_table
from coresift.tasks.baseline import baseline
from coresift.tasks.readers.record import naming
from coresift.tasks.settings import Task
from coresift.tasks.tables import PREDICTION

with naming(snakemake.rule.removeprefix("baseline_")):
    metrics, predictions = baseline(
        Task(**snakemake.params.task), snakemake.params.modality, snakemake.wildcards.baseline
    )
write_table(snakemake.output.predictions, predictions, PREDICTION)
write_json(snakemake.output.metrics, metrics)
