"""Rule merge."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.corpus.composition import composition
from coresift.influence.merge import merge_scores
from coresift.influence.summary import score_summary
from coresift.io import SCORE, read_table, write_json
from coresift.report.plots import save, score_distribution

merge_scores(snakemake.input.scores, snakemake.input.pool, snakemake.output.scores)
scores = read_table(snakemake.output.scores, SCORE)
shares = composition(snakemake.input.pool, snakemake.params.modality)
write_json(snakemake.output.summary, score_summary(scores, shares))
save(score_distribution(scores), snakemake.output.plot)
