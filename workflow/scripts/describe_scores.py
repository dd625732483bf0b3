"""Rule describe_scores."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.composition import composition
from coresift.files import write_json
from coresift.influence.summary import score_summary
from coresift.influence.tables import SCORE
from coresift.report.plots import save, score_distribution
from coresift.tables import read_table

scores = read_table(snakemake.input.scores, SCORE)
shares = composition(snakemake.input.pool, snakemake.params.modality)
write_json(snakemake.output.summary, score_summary(scores, shares))
save(score_distribution(scores), snakemake.output.plot)
