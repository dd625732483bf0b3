"""Rule target."""

from coresift.dag.logs import start

start(snakemake.log[0])

import sys

from coresift.corpus.normalise import Limits
from coresift.files import write_json
from coresift.hashing import content_hash
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.settings import Influence, Target
from coresift.influence.targets import read_fasta_target, read_held_out_target, target_sums
from coresift.models.checkpoint import choose_device, configure_torch, load_model, origin
from coresift.models.cropping import count_cropped, room_of

params, name = snakemake.params, snakemake.wildcards.target
influence, target = Influence(**params.influence), Target(**params.target)
configure_torch(influence.threads)
sample = target.size, params.seed
if target.heldout is not None:
    rows = read_held_out_target(snakemake.input.sequences, name, target.heldout, *sample)
else:
    # What is short counts as well, and what is long is cropped.
    limits = Limits(1, sys.maxsize, params.max_ambiguous)
    rows = read_fasta_target(snakemake.input.sequences, name, params.modality, limits, *sample)
model, _, encoder = load_model(snakemake.input.checkpoint, params.modality, influence.max_tokens)
model_origin = origin(model, encoder)
encoder.check_unknown(rows["sequence"].to_list())
engine = InfluenceEngine(
    model, encoder, resolve_settings(influence, params.seed), choose_device(params.device)
)
room = room_of(encoder, engine.settings.max_tokens)
write_json(snakemake.output.cropped, {"cropped": count_cropped(rows["length"].to_numpy(), room)})
metadata = {
    **model_origin,
    "kind": "gradient",
    "parameters": engine.settings.parameters,
    "settings": engine.settings.of_pass(),
    "sequences": content_hash(rows["seq_id"].to_list()),
}
target_sums(engine, rows, metadata, snakemake.output.sums, params.work)
