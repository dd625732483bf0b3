"""Rule validate_predict."""

from coresift.dag.logs import start

start(snakemake.log[0])

from coresift.corpus.tables import HELD_OUT, SEQUENCE
from coresift.influence.settings import Influence
from coresift.models.checkpoint import choose_device, configure_torch, load_model
from coresift.tables import read_table, write_table
from coresift.validate.predict import Ways, averaged, predict
from coresift.validate.tables import PREDICTED

files, params = snakemake.input, snakemake.params
influence = Influence(**params.influence)
configure_torch(influence.threads)
predictions = []
for checkpoint in files.checkpoints:
    model, _, encoder = load_model(checkpoint, params.modality, influence.max_tokens)
    found = predict(
        model,
        encoder,
        influence,
        Ways(**params.ways),
        params.seed,
        choose_device(params.device),
        read_table(files.of, SEQUENCE),
        read_table(files.pool, SEQUENCE),
        read_table(files.target, HELD_OUT),
    )
    predictions.append(found)
table = averaged(snakemake.wildcards.model, predictions)
write_table(snakemake.output[0], table, PREDICTED)
