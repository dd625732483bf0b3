"""Rule score."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.config import Influence
from coresift.corpus.dedup import read_shard
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.fisher import Fisher, inverse_curvature
from coresift.influence.scoring import score_shard
from coresift.io import SCORE, write_table
from coresift.models.checkpoint import choose_device, configure_torch, load_model

params = snakemake.params
influence = Influence(**params.influence)
configure_torch(influence.threads)
model, _, encoder = load_model(snakemake.input.checkpoint, params.modality, influence.max_tokens)
engine = InfluenceEngine(
    model, encoder, resolve_settings(influence, params.seed), choose_device(params.device)
)
shard = read_shard(
    snakemake.input.pool, int(snakemake.wildcards.shard), influence.shards, params.blocks
)
curvature = inverse_curvature(Fisher.load(snakemake.input.fisher), engine.settings, engine.device)
scores = score_shard(engine, {"influence": curvature}, shard, params.cache)
write_table(snakemake.output[0], scores["influence"], SCORE)
