"""Rule group."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.labels import by_label, by_source, by_table, group_sequences
from coresift.corpus.tables import group_schema
from coresift.tables import TableWriter

files, params, name = snakemake.input, snakemake.params, snakemake.wildcards.grouping


def by_bucket(paths):
    """A source's files, those of its buckets in order."""
    paths = list(paths)
    n = len(paths) // len(params.sources)
    return {s: paths[i * n : (i + 1) * n] for i, s in enumerate(params.sources)}


if files.labels:
    labels = by_label(by_bucket(files.labels))
elif files.table:
    labels = by_table(files.table[0])
else:
    labels = by_source
with TableWriter(snakemake.output[0], group_schema([name])) as writer:
    for frame in group_sequences(name, by_bucket(files.parts), labels):
        writer.append(frame)
