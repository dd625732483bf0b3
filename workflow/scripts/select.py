"""Rule select."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.influence.tables import SCORE
from coresift.selection.strategies import select
from coresift.selection.tables import CORESET
from coresift.tables import read_table, write_table

wildcards = snakemake.wildcards
strategy, cci = snakemake.params.strategy
reference = snakemake.input.get("reference")
coreset = select(
    read_table(snakemake.input.scores, SCORE),
    strategy,
    int(wildcards.budget),
    int(wildcards.seed),
    cci,
    read_table(reference if isinstance(reference, str) else reference[0], CORESET)
    if reference
    else None,
)
write_table(snakemake.output[0], coreset, CORESET)
