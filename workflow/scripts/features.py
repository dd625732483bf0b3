"""Rule features."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.features import describe_features, features
from coresift.corpus.tables import FEATURE
from coresift.files import write_json
from coresift.tables import TableWriter

with TableWriter(snakemake.output.table, FEATURE) as writer:
    for frame in features(snakemake.input, snakemake.params.modality):
        writer.append(frame)
write_json(snakemake.output.counts, describe_features(snakemake.output.table))
