"""Rule check_budgets."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import read_json, write_json
from coresift.selection.budgets import check_budgets
from coresift.selection.request import Request

params = snakemake.params
pool = read_json(snakemake.input[0])["pool"]
requests = [Request(**request) for request in params.requests]
most = check_budgets(pool, params.budgets, {request.name: request for request in requests})
write_json(snakemake.output[0], {"pool": pool, "most": most})
