"""Rule check_budgets."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import read_json, write_json
from coresift.selection.budgets import check_budgets

params = snakemake.params
pool = read_json(snakemake.input[0])["pool"]
most = check_budgets(pool, params.budgets, params.selections)
write_json(snakemake.output[0], {"pool": pool, "most": most})
