"""Rule protected."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import PROTECTED
from coresift.tables import write_table
from coresift.tasks.data import protected_examples
from coresift.tasks.readers.settings import LabelledData

params = snakemake.params
tasks = {name: LabelledData(**values) for name, values in params.tasks.items()}
write_table(
    snakemake.output[0], protected_examples(tasks, params.splits, params.modality), PROTECTED
)
