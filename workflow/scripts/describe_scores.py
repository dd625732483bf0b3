"""Rule describe_scores."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import read_json, write_json, write_text
from coresift.influence.summary import (
    MAIN,
    extreme_sequences,
    score_agreement,
    score_summary,
    traits_of,
)
from coresift.influence.tables import score_schema
from coresift.report.plots import save, score_distribution
from coresift.selection.names import budget_of
from coresift.tables import read_table

params, output = snakemake.params, snakemake.output
scores = read_table(snakemake.input.scores, score_schema(params.columns))
traits = traits_of(scores, snakemake.input.features, next(iter(snakemake.input.groups), None))
names = [*MAIN, *params.columns]
mean = scores["length"].mean()
sizes = list(dict.fromkeys(budget_of(b).sequences(mean) for b in params.budgets))
summary = score_summary(scores, params.columns, traits)
for path in snakemake.input.identity:
    summary["identity"] = read_json(path)
write_json(output.summary, summary)
write_text(output.agreement, score_agreement(scores, names, sizes).write_csv())
extremes = extreme_sequences(scores, names, snakemake.input.pool)
write_text(output.extremes, extremes.write_csv())
save(score_distribution(scores), output.plot)
