"""Rule merge_variants."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import write_text
from coresift.influence.merge import merge_variants
from coresift.influence.summary import score_agreement
from coresift.influence.tables import SCORE, VARIANT
from coresift.tables import read_table

names = snakemake.params.names
main = read_table(snakemake.input.scores, SCORE)
merge_variants(snakemake.input.variants, main["seq_id"], names, snakemake.output.scores)
variants = read_table(snakemake.output.scores, VARIANT)
agreement = score_agreement(main, variants, names, snakemake.params.budgets)
write_text(snakemake.output.agreement, agreement.write_csv())
