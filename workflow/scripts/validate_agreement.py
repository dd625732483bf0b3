"""Rule validate_agreement."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import HELD_OUT, SEQUENCE
from coresift.files import write_text
from coresift.heldout.masks import Masks
from coresift.heldout.unigram import unigram_losses
from coresift.report.plots import save
from coresift.tables import read_table, read_tables
from coresift.validate.agreement import Intervals, agreement_tables
from coresift.validate.plots import agreement
from coresift.validate.tables import PREDICTED, RETRAINED

files, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
letters = unigram_losses(read_table(files.target, HELD_OUT), Masks(**params.masks))
table, noise = agreement_tables(
    wildcards.check,
    read_table(files.pool, SEQUENCE)["seq_id"].to_list(),
    read_tables(files.retrained, RETRAINED),
    read_tables(files.predicted, PREDICTED),
    params.check,
    params.seed,
    Intervals(**params.intervals, seed=params.seed),
    float(letters["loss"].to_numpy().mean()),
)
write_text(snakemake.output.table, table.write_csv())
write_text(snakemake.output.noise, noise.write_csv())
save(agreement(table), snakemake.output.plot)
