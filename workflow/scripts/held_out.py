"""Rule held_out."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import HELD_OUT
from coresift.tables import write_table
from coresift.tasks.data import held_out_examples
from coresift.tasks.readers.settings import LabelledData

params = snakemake.params
tasks = {name: LabelledData(**values) for name, values in params.tasks.items()}
write_table(snakemake.output[0], held_out_examples(tasks, params.splits, params.modality), HELD_OUT)
