"""Rule merge_groups."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.groups import count_groups, merge_groups
from coresift.corpus.tables import group_schema
from coresift.files import write_json
from coresift.tables import TableWriter

names, table = snakemake.params.names, snakemake.output.table
groupings = dict(zip(names, snakemake.input.groupings, strict=True))
with TableWriter(table, group_schema(names)) as writer:
    for frame in merge_groups(snakemake.input.pool, groupings):
        writer.append(frame)
write_json(snakemake.output.counts, count_groups(table, names))
