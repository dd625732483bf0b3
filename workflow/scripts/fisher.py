"""Rule fisher."""

from coresift.logs import start

start(snakemake.log[0])

from coresift.config import Influence
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.fisher import Fisher
from coresift.io import SEQUENCE, read_table
from coresift.models.checkpoint import choose_device, configure_torch, load_model, model_hash

params = snakemake.params
influence = Influence(**params.influence)
configure_torch(influence.threads)
model, _, encoder = load_model(snakemake.input.checkpoint, params.modality, influence.max_tokens)
digest = model_hash(model)
engine = InfluenceEngine(
    model, encoder, resolve_settings(influence, params.seed), choose_device(params.device)
)
subset = read_table(snakemake.input.subset, SEQUENCE)
encoder.check_unknown(subset["sequence"].to_list())
Fisher(engine.fisher_sums(subset), subset.height, {"model": digest}).save(snakemake.output[0])
