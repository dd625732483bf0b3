"""Rule join_seeds."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import read_json, write_json
from coresift.tables import read_table, write_table
from coresift.tasks.seeds import join_seeds
from coresift.tasks.tables import PREDICTION

files = snakemake.input
metrics, predictions = join_seeds(
    [read_json(path) for path in files.metrics],
    [read_table(path, PREDICTION) for path in files.predictions],
)
write_table(snakemake.output.predictions, predictions, PREDICTION)
write_json(snakemake.output.metrics, metrics)
