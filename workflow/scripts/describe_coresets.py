"""Rule describe_coresets."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.alphabet import ALPHABETS
from coresift.corpus.composition import composition
from coresift.influence.tables import SCORE
from coresift.report.coresets import describe_coresets
from coresift.selection.tables import CORESET
from coresift.tables import read_table

files, params = snakemake.input, snakemake.params
describe_coresets(
    read_table(files.scores, SCORE),
    {n: read_table(p, CORESET) for n, p in zip(params.names, files.coresets, strict=True)},
    composition(files.pool, params.modality),
    ALPHABETS[params.modality].composition_name,
    params.cci,
    snakemake.output,
)
