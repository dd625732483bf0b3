"""Rule heldout_groups."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.heldout import held_out_group_schema, held_out_groups
from coresift.corpus.tables import HELD_OUT
from coresift.tables import read_table, write_table

files, params = snakemake.input, snakemake.params
groupings = dict(zip(params.names, files.groupings, strict=True))
groups = held_out_groups(read_table(files.sets, HELD_OUT), groupings, params.near)
write_table(snakemake.output[0], groups, held_out_group_schema(params.names))
