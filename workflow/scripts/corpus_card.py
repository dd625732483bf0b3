"""Rule corpus_card."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.dag.code import PACKAGE
from coresift.dag.version import git_commit
from coresift.export.card import Origin, corpus_card
from coresift.files import read_json, write_text

files, params = snakemake.input, snakemake.params
origin = Origin(
    params.config,
    read_json(files.sources),
    read_json(files.summary),
    params.digests,
    git_commit(PACKAGE.parents[1]),
    snakemake.output[0],
)
write_text(snakemake.output[0], corpus_card(origin, read_json(files.counts)))
