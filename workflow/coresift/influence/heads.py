"""The LM head's dense weight (the paper's choice), by its name in known architectures."""

from __future__ import annotations

from coresift.models.settings import MULTIMOLECULE

#: Name of the weight -> model types that have it.
HEADS = {
    "lm_head.dense.weight": ("esm", "esmc", "roberta", "xlm-roberta", "camembert"),
    "lm_head.transform.dense.weight": tuple(sorted(MULTIMOLECULE)),
    "cls.predictions.transform.dense.weight": ("bert", "roformer"),
    "head.dense.weight": ("modernbert",),
    "vocab_transform.weight": ("distilbert",),
    "generator_predictions.dense.weight": ("electra",),
    "predictions.dense.weight": ("albert",),
}
#: Model types that have a head by one of these names; of others only the model tells.
HEADED = {kind for kinds in HEADS.values() for kind in kinds}
