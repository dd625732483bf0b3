"""Rule study."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.files import atomic_directory, read_json
from coresift.study.join import joined, with_kept
from coresift.study.tables import RUN
from coresift.study.write import read_book, write_study
from coresift.tables import read_table

files, params = snakemake.input, snakemake.params
parts = {
    label: (read_table(runs, RUN), read_json(facts))
    for label, runs, facts in zip(params.labels, files.runs, files.facts, strict=True)
}
book = joined(parts)
if params.kept is not None:
    book = with_kept(book, read_book(params.kept))
with atomic_directory(snakemake.output[0]) as temporary:
    write_study(book, temporary, params.name)
