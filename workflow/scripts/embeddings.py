"""Rule embeddings."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.dedup import read_shard
from coresift.files import write_json, write_tensors
from coresift.influence.embeddings import embed_shard
from coresift.models.checkpoint import choose_device, configure_torch, load_model
from coresift.models.cropping import count_cropped
from coresift.models.states import EncoderStates

files, params = snakemake.input, snakemake.params
configure_torch(params.threads)
model, _, encoder = load_model(files.checkpoint, params.modality, params.max_tokens, lm_head=False)
shard = read_shard(files.pool, int(snakemake.wildcards.shard), params.shards, params.blocks)
encoder_model = model.base_model.to(choose_device(params.device))
states = EncoderStates(encoder_model, encoder, "mean", params.max_tokens)
cropped = count_cropped(shard["length"].to_numpy(), states.room)
embeddings = embed_shard(states, shard, params.tokens_per_batch, params.cache)
write_json(snakemake.output.cropped, {"cropped": cropped})
write_tensors(snakemake.output.states, {"states": embeddings}, {"form": "mean"})
