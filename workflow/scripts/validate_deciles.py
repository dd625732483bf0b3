"""Rule validate_deciles."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import write_text
from coresift.report.plots import save
from coresift.tables import read_columns
from coresift.validate.agreement import Intervals
from coresift.validate.deciles import decile_order, decile_table, decile_traits
from coresift.validate.plots import decile_curves

files, params = snakemake.input, snakemake.params
table = decile_table(
    dict(zip(params.names, files.losses, strict=True)),
    files.unigram,
    files.groups,
    params.scores,
    params.budget,
    params.seeds,
)
order = decile_order(table, Intervals(**params.intervals, seed=params.seed))
coresets = {
    name: read_columns(path, ["seq_id"])["seq_id"]
    for name, path in zip(params.names, files.coresets, strict=True)
}
traits = decile_traits(
    coresets, files.features, files.pool_groups, params.scores, params.budget, params.seeds
)
write_text(snakemake.output.traits, traits.write_csv())
write_text(snakemake.output.table, table.write_csv())
write_text(snakemake.output.order, order.write_csv())
save(decile_curves(table), snakemake.output.plot)
