"""Rule validate_draw."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.dedup import iter_pool
from coresift.corpus.tables import HELD_OUT, SEQUENCE
from coresift.selection.budgets import check_budgets, length_counts
from coresift.selection.names import budget_of
from coresift.selection.request import Request
from coresift.tables import write_table
from coresift.validate.small import small_pool, target_set

files, params = snakemake.input, snakemake.params
if params.budget is not None:
    check_budgets(
        length_counts(part["length"].to_numpy() for part in iter_pool(files.pool, ["length"])),
        [budget_of(params.budget)],
        {"decile_0": Request("decile_0", "decile_0")},
        "validate.budget (by default the smallest of selection.budgets)",
    )
for check, size in params.samples.items():
    sample = small_pool(files.pool, check, size, params.seed)
    write_table(snakemake.output[check], sample, SEQUENCE)
target = target_set(files.sets, params.heldout, params.size, params.seed)
write_table(snakemake.output.target, target, HELD_OUT)
