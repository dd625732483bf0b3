"""Rule describe_coresets."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.alphabet import ALPHABETS
from coresift.report.coresets import FEATURES, describe_coresets
from coresift.selection.draw import group_codes
from coresift.selection.tables import CORESET
from coresift.tables import read_columns, read_table

files, params = snakemake.input, snakemake.params
describe_coresets(
    read_columns(files.scores, ["seq_id", "length", *params.scores]),
    params.scores,
    {n: read_table(p, CORESET) for n, p in zip(params.names, files.coresets, strict=True)},
    read_columns(files.features, ["seq_id", *FEATURES]),
    {name: group_codes(read_columns(files.groups, [name])[name]) for name in params.groupings},
    ALPHABETS[params.modality].composition_name,
    params.cci,
    snakemake.output,
)
