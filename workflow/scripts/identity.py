"""Rule identity."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import SEQUENCE
from coresift.files import write_json
from coresift.influence.engine import InfluenceEngine, resolve_settings
from coresift.influence.fisher import Fisher
from coresift.influence.identity import check_identity
from coresift.influence.settings import Influence
from coresift.models.checkpoint import choose_device, configure_torch, load_model
from coresift.tables import read_table

params = snakemake.params
influence = Influence(**params.influence)
configure_torch(influence.threads)
model, _, encoder = load_model(snakemake.input.checkpoint, params.modality, influence.max_tokens)
engine = InfluenceEngine(
    model, encoder, resolve_settings(influence, params.seed), choose_device(params.device)
)
fisher = Fisher.load(snakemake.input.fisher)
subset = read_table(snakemake.input.subset, SEQUENCE)
write_json(snakemake.output[0], check_identity(engine, fisher, subset, params.cache))
