"""Rule validate_draw."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import HELD_OUT, SEQUENCE
from coresift.files import read_json
from coresift.tables import write_table
from coresift.validate.small import check_deciles, small_pool, target_set

files, params = snakemake.input, snakemake.params
if params.budget is not None:
    check_deciles(read_json(files.corpus)["pool"], params.budget)
for check, size in params.samples.items():
    sample = small_pool(files.pool, check, size, params.seed)
    write_table(snakemake.output[check], sample, SEQUENCE)
target = target_set(files.sets, params.heldout, params.size, params.seed)
write_table(snakemake.output.target, target, HELD_OUT)
