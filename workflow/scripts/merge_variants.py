"""Rule merge_variants."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.influence.merge import merge_variants, score_agreement
from coresift.io import SCORE, VARIANT, read_table, write_text

names = snakemake.params.names
main = read_table(snakemake.input.scores, SCORE)
merge_variants(snakemake.input.variants, main["seq_id"], names, snakemake.output.scores)
variants = read_table(snakemake.output.scores, VARIANT)
agreement = score_agreement(main, variants, names, snakemake.params.budgets)
write_text(snakemake.output.agreement, agreement.write_csv())
