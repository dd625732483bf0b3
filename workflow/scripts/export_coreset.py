"""Rule export_coreset."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.dag.code import PACKAGE
from coresift.dag.version import git_commit
from coresift.export.card import Origin, coreset_card
from coresift.export.comparison import compare
from coresift.export.coreset import Beside, ordered_rows, write_coreset
from coresift.files import read_json, write_text
from coresift.selection.tables import CORESET
from coresift.tables import read_table

files, out, params = snakemake.input, snakemake.output, snakemake.params
coreset = read_table(files.coreset, CORESET)
beside = Beside(files.scores, params.score, files.groups, params.groupings)
rows = ordered_rows(coreset, files.pool, beside)
write_coreset(rows, beside.schema, out.fasta, out.dataset, out.ids, out.windows)
row = compare(coreset, files.scores, params.score, files.features, files.groups, params.groupings)
origin = Origin(
    params.config,
    read_json(files.sources),
    read_json(files.summary),
    params.digests,
    git_commit(PACKAGE.parents[1]),
    out.card,
)
name, asked = snakemake.wildcards.name, (params.selection, params.budget, params.seed)
write_text(out.card, coreset_card(origin, name, asked, params.score, params.groupings, row))
