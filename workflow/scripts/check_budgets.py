"""Rule check_budgets."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.dedup import iter_pool
from coresift.files import write_json
from coresift.selection.budgets import check_budgets, length_counts
from coresift.selection.names import budget_of
from coresift.selection.request import Request

params = snakemake.params
requests = [Request(**request) for request in params.requests]
most = check_budgets(
    length_counts(part["length"].to_numpy() for part in iter_pool(snakemake.input, ["length"])),
    [*map(budget_of, params.budgets)],
    {request.name: request for request in requests},
)
write_json(snakemake.output[0], most)
