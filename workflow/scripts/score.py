"""Rule score."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.config import Influence
from coresift.corpus.dedup import read_shard
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.fisher import Fisher
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
fisher = Fisher.load(snakemake.input.fisher)
write_table(snakemake.output[0], score_shard(engine, fisher, shard, params.cache), SCORE)
