"""Rule validate_scores."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import SEQUENCE
from coresift.influence.settings import Influence
from coresift.models.checkpoint import choose_device, configure_torch, load_model
from coresift.tables import read_table, write_table
from coresift.validate.scoring import setting_scores
from coresift.validate.tables import SETTING_SCORE

files, params = snakemake.input, snakemake.params
influence = Influence(**params.influence)
configure_torch(influence.threads)
model, _, encoder = load_model(files.checkpoint, params.modality, influence.max_tokens)
scores = setting_scores(
    model,
    encoder,
    influence,
    params.seed,
    choose_device(params.device),
    read_table(files.subset, SEQUENCE),
    read_table(files.sample, SEQUENCE),
    params.cache,
)
write_table(snakemake.output[0], scores, SETTING_SCORE)
