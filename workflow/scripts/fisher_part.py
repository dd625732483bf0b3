"""Rule fisher_part."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import SEQUENCE
from coresift.files import write_json
from coresift.hashing import content_hash
from coresift.influence.curvature import Fishers, summing
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.fisher import compute_part, part_of
from coresift.influence.settings import Influence
from coresift.models.checkpoint import choose_device, configure_torch, load_model, origin
from coresift.models.cropping import count_cropped, room_of
from coresift.tables import read_table

params, kind = snakemake.params, snakemake.wildcards.kind
influence = Influence(**params.influence, loss=snakemake.wildcards.loss)
configure_torch(influence.threads)
model, _, encoder = load_model(snakemake.input.checkpoint, params.modality, influence.max_tokens)
model_origin = origin(model, encoder)
engine = InfluenceEngine(
    model, encoder, resolve_settings(influence, params.seed), choose_device(params.device)
)
subset = read_table(snakemake.input.subset, SEQUENCE)
encoder.check_unknown(subset["sequence"].to_list())
lengths = part_of(subset, int(snakemake.wildcards.shard), params.parts)["length"].to_numpy()
cropped = count_cropped(lengths, room_of(encoder, engine.settings.max_tokens))
bases = None
if kind == "corrected":
    bases = Fishers(
        {"kronecker": snakemake.input.basis}, engine.device, engine.dtype
    ).kronecker.bases
metadata = {
    **model_origin,
    "kind": kind,
    "parameters": params.parameters,
    "settings": engine.settings.of_pass(),
    "subset": content_hash(subset["seq_id"].sort().to_list()),
}
compute_part(
    engine,
    subset,
    summing(engine, kind, params.parameters, bases),
    int(snakemake.wildcards.shard),
    params.parts,
    metadata,
    snakemake.output.sums,
    params.checkpoint,
)
write_json(snakemake.output.cropped, {"cropped": cropped})
