"""Rule score."""

from coresift.dag.logs import start

start(snakemake.log[0])

from pathlib import Path

from coresift.corpus.dedup import read_shard
from coresift.files import write_json
from coresift.influence.columns import score_table
from coresift.influence.scoring import score_all
from coresift.influence.settings import Influence
from coresift.influence.tables import score_schema
from coresift.models.checkpoint import choose_device, configure_torch, load_model
from coresift.models.cropping import count_cropped, room_of
from coresift.tables import write_table

params = snakemake.params
influence = Influence(**params.influence)
configure_torch(influence.threads)
model, _, encoder = load_model(snakemake.input.checkpoint, params.modality, influence.max_tokens)
shard = read_shard(
    snakemake.input.pool, int(snakemake.wildcards.shard), influence.shards, params.blocks
)
room = room_of(encoder, influence.max_tokens)
cropped = count_cropped(shard["length"].to_numpy(), room)
fishers = {}
for path in map(Path, snakemake.input.fisher):
    fishers.setdefault(path.parent.name, {})[path.stem] = path
device = choose_device(params.device)
targets = dict(zip(influence.target_columns(), snakemake.input.targets, strict=True))
measured = score_all(
    model, encoder, influence, params.seed, device, fishers, targets, shard, params.cache
)
write_json(snakemake.output.cropped, {"cropped": cropped})
write_table(
    snakemake.output.scores, score_table(influence, measured), score_schema(influence.columns())
)
