"""Models of a preset; loading and saving Hugging Face checkpoints."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoTokenizer,
    BertTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from coresift.alphabet import ALPHABETS
from coresift.dag.code import code_digest
from coresift.files import atomic_directory
from coresift.hashing import content_hash
from coresift.models.folder import VOCABULARIES
from coresift.models.settings import MULTIMOLECULE, architecture
from coresift.models.tokenizer import Encoder, VocabularyError, build_tokenizer
from coresift.models.weights import (
    CheckpointError,
    NoHeadError,
    check_fetched,
    check_floats,
    is_benign,
    named,
    read_object,
    read_weights,
    some,
    unwrapped,
)

logger = logging.getLogger(__name__)

#: Encoders in which padding reaches residues: a row's states hang on the rows beside it.
MIXED = frozenset({"convbert", "fnet", "nystromformer", "reformer", "yoso"})

#: Its licence, the AGPL, is why it is not in requirements.lock.
INSTALL_MULTIMOLECULE = "pip install multimolecule==0.2.2"

#: Names of tables of absolute positions.
POSITIONS = re.compile(r"(^|\.)(position_embeddings?|embed_positions|pos_embed\w*|wpe)$")


def build_model(
    preset: str | Mapping[str, Any], modality: str, seed: int, max_tokens: int | None = None
) -> tuple[PreTrainedModel, Any]:
    """A model of an architecture with seeded random weights, and its tokenizer.

    Args:
        preset: a preset, a Hugging Face config.json of any encoder trained by masking, or values as
            `architecture` has them; the special tokens are those of the modality's own vocabulary.
        max_tokens: longest input that it is to be trained on, where it could read more: kept by
            its tokenizer, and by `load_model` where positions are absolute.

    Raises:
        ValueError: no such architecture, or one that cannot be built for the modality.
    """
    name = preset if isinstance(preset, str) else str(preset.get("model_type"))
    values = architecture(preset) if isinstance(preset, str) else preset
    config = _config_of(name, values, modality)
    with named(name, "no model can be made of it"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind: Any = MODEL_FOR_MASKED_LM_MAPPING[type(config)]
        model = kind(config)
    limit = position_limit(model)
    # ESM's rotary models, too, are trained on inputs of two tokens less than this.
    longest = limit or config.max_position_embeddings - (2 if config.model_type == "esm" else 0)
    return model, build_tokenizer(modality, min(longest, max_tokens or longest))


def check_architecture(preset: str, modality: str) -> None:
    """Build an architecture without weights.

    Raises:
        ValueError: see `build_model`; or it has no room for a residue.
    """
    with torch.device("meta"):
        _, tokenizer = build_model(preset, modality, 0)
    if tokenizer.model_max_length < 3:
        raise CheckpointError(f"{preset}: no room for a residue between <cls> and <eos>")


def skeleton(name: str, modality: str, preset: bool) -> PreTrainedModel:
    """The model of a preset, or of a checkpoint's folder, without weights.

    Raises:
        ValueError: see `build_model`, `load_model`.
    """
    with torch.device("meta"):
        if preset:
            return build_model(name, modality, 0)[0]
        config = read_config(Path(name))
        with named(name, "no model can be made from config.json"):
            kind: Any = MODEL_FOR_MASKED_LM_MAPPING[type(config)]
            return cast(PreTrainedModel, kind(config))


def _config_of(preset: str, given: Mapping[str, Any], modality: str) -> PreTrainedConfig:
    values = dict(given)
    vocabulary = ALPHABETS[modality].vocabulary
    kind = values.pop("model_type")
    if kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or CONFIG_MAPPING[kind].is_encoder_decoder:
        known = ", ".join(sorted(MODEL_FOR_MASKED_LM_MAPPING_NAMES))
        raise CheckpointError(
            f"{preset}: model_type {kind!r} is no encoder trained by masking that transformers "
            f"has: {known}"
        )
    _check_padding(preset, kind, values.get("attention_type", "block_sparse"))
    size = values.setdefault("vocab_size", len(vocabulary))
    if size < len(vocabulary):
        raise CheckpointError(
            f"{preset}: vocab_size {size} is below the {len(vocabulary)} tokens of {modality}"
        )
    names = {"cls": "<cls>", "bos": "<cls>", "sep": "<eos>", "eos": "<eos>"}
    names |= {"pad": "<pad>", "mask": "<mask>"}
    ids = {f"{name}_token_id": vocabulary.index(token) for name, token in names.items()}
    with named(preset, "not usable"):
        fields = vars(CONFIG_MAPPING[kind]())
        return AutoConfig.for_model(kind, **values | {n: i for n, i in ids.items() if n in fields})


def load_model(
    directory: str | Path, modality: str, max_tokens: int, lm_head: bool = True
) -> tuple[PreTrainedModel, Any, Encoder]:
    """Model (float32), tokenizer and encoder of a Hugging Face directory.

    Nothing is downloaded, no code of the folder is executed, and every weight of the model is the
    file's: what `weights.BENIGN` lists, and an LM head nobody needs, may be missing; they are then
    the same in every job.

    Args:
        max_tokens: longest input; where positions are absolute, that of the model and that which
            its tokenizer gives are kept if lower: no position beyond them was learnt.
        lm_head: whether the LM head is needed (not where only the encoder's states are read).

    Raises:
        CheckpointError: the folder is not a checkpoint, or not a whole one; names the cause
            (`NoHeadError`: it lacks the LM head alone).
        VocabularyError: its vocabulary does not fit the modality.
    """
    directory = Path(directory)
    config = read_config(directory)
    tokenizer = _read_tokenizer(directory, config)
    model = _read_model(directory, config, lm_head)
    limit = position_limit(model)
    if limit is not None:
        max_tokens = min(max_tokens, limit, tokenizer.model_max_length)
    try:
        encoder = Encoder.from_tokenizer(tokenizer, modality, max_tokens)
    except VocabularyError as error:
        raise VocabularyError(f"{directory}: {error}") from error
    if max(len(tokenizer), encoder.largest_id + 1) > model.config.vocab_size:
        raise CheckpointError(
            f"{directory}: the tokenizer has {len(tokenizer)} tokens, "
            f"the model {model.config.vocab_size}"
        )
    return model, tokenizer, encoder


def _check_padding(name: str | Path, kind: str, attention: str | None) -> None:
    if kind in MIXED:
        raise CheckpointError(
            f"{name}: model_type {kind!r} mixes padding into residues, so that its losses and "
            "gradients would hang on the sequences of a batch"
        )
    if kind == "big_bird" and attention != "original_full":
        raise CheckpointError(
            f"{name}: attention_type {attention!r} is left for good at the first short input, so "
            "that losses would hang on what was read before; give attention_type original_full"
        )


def read_config(directory: Path) -> PreTrainedConfig:
    """The architecture of a checkpoint's folder.

    Raises:
        CheckpointError: it has none, or one that is of no use here.
    """
    if not (directory / "config.json").is_file():
        raise CheckpointError(
            f"{directory}: no config.json; not a Hugging Face checkpoint directory"
        )
    written = read_object(directory / "config.json")
    if "quantization_config" in written:
        raise CheckpointError(f"{directory}: quantised weights cannot be trained or scored")
    if written.get("model_type") in MULTIMOLECULE:
        _import_multimolecule(directory, written["model_type"])
    with named(directory, f"config.json with model_type {written.get('model_type')!r} not usable"):
        config = AutoConfig.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING or config.is_encoder_decoder:
        raise CheckpointError(
            f"{directory}: model_type {config.model_type!r} is not an encoder trained by masking"
        )
    _check_padding(directory, config.model_type, getattr(config, "attention_type", None))
    return config


def _import_multimolecule(directory: Path, model_type: str) -> None:
    """Let transformers know the models of multimolecule, an optional package."""
    try:
        importlib.import_module("multimolecule")
    except ImportError as error:
        raise CheckpointError(
            f"{directory}: model_type {model_type!r} is one of the package multimolecule, which "
            f"cannot be imported ({error}): {INSTALL_MULTIMOLECULE} (AGPL)"
        ) from error


def _read_tokenizer(directory: Path, config: PreTrainedConfig) -> Any:
    found = [directory / name for name in VOCABULARIES if (directory / name).is_file()]
    if not found:
        raise CheckpointError(f"{directory}: no tokenizer ({', '.join(VOCABULARIES)})")
    for path in found:
        check_fetched(path)
    with named(directory, "tokenizer not readable"):
        try:
            return AutoTokenizer.from_pretrained(
                directory, local_files_only=True, trust_remote_code=False
            )
        except ImportError:
            if config.model_type != "roformer":
                raise
            # Its own needs a package that cuts Chinese words; the vocabulary is BERT's.
            return BertTokenizer.from_pretrained(directory, local_files_only=True)


def _read_model(directory: Path, config: PreTrainedConfig, lm_head: bool) -> PreTrainedModel:
    kind: Any = MODEL_FOR_MASKED_LM_MAPPING[type(config)]
    weights = read_weights(directory)
    check_floats(directory, weights)
    prefix = f"{kind.base_model_prefix}."
    with named(directory, "no model can be made from config.json"):
        with torch.device("meta"):
            expected = set(kind(config).state_dict())
        in_model = _names_in_model(directory, weights, expected, prefix)
        # What is not in the files is drawn from a seed of its own: the same in every job.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model, report = kind.from_pretrained(
                None,
                config=config,
                state_dict={in_model[name]: tensor for name, tensor in weights.items()},
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    wrong = {
        f"{n} {tuple(there)}, not {tuple(here)}" for n, there, here in report["mismatched_keys"]
    }
    if wrong:
        raise CheckpointError(f"{directory}: weights of another shape: {some(wrong)}")
    missing = {name for name in report["missing_keys"] if not is_benign(name)}
    head = {name for name in missing if not name.startswith(prefix)}
    if missing and (lm_head or missing != head):
        text = f"{directory}: weights missing: {some(missing)}"
        if missing == head:
            hint = "the LM head; an encoder without one can only be evaluated"
            raise NoHeadError(f"{text} ({hint})")
        raise CheckpointError(text)
    left = {name for name in report["unexpected_keys"] if not is_benign(name)}
    if left:
        raise CheckpointError(f"{directory}: weights that the model does not have: {some(left)}")
    bad = [name for name, t in model.state_dict().items() if not t.isfinite().all()]
    if bad:
        raise CheckpointError(f"{directory}: weights with NaN or infinite values: {some(bad)}")
    for what, names in (("lacks", report["missing_keys"]), ("ignored", report["unexpected_keys"])):
        if names:
            logger.info("%s: %s %s", directory, what, some(names))
    return model


def _names_in_model(
    directory: Path, weights: Iterable[str], expected: set[str], prefix: str
) -> dict[str, str]:
    """Name in the model by name in the file; an encoder saved alone has no base prefix."""

    def fits(name: str) -> bool:
        return name in expected or prefix + name in expected

    found = unwrapped(weights, fits)
    changed = {name: bare for name, bare in found.items() if name != bare}
    if len(set(found.values())) < len(found):
        raise CheckpointError(f"{directory}: weights given twice: {some(changed)}")
    if changed:
        first = min(changed)
        logger.info(
            "%s: %d names without their wrapper, such as %s for %s",
            directory, len(changed), changed[first], first,
        )  # fmt: skip
    return found


def position_limit(model: torch.nn.Module) -> int | None:
    """Longest input that a table of absolute positions allows; None without one (rotary).

    Positions start after the padding row where the table has one (ESM, RoBERTa), or where the
    model's `position_ids` do; those bound the length as well.
    """
    limits = []
    for name, module in model.named_modules():
        table = getattr(module, "weight", None)
        if table is not None and POSITIONS.search(name):
            padding = getattr(module, "padding_idx", None)
            limits.append(len(table) - (0 if padding is None else padding + 1))
    if not limits:
        return None
    if type(model).__module__.startswith("multimolecule."):
        limits = [limit - 1 for limit in limits]  # its RNA-FM starts one row later than ESM
    ids = [b.shape[-1] for name, b in model.named_buffers() if name.endswith("position_ids")]
    return min(limits + ids)


def save_model(directory: str | Path, model: PreTrainedModel, tokenizer: Any) -> None:
    """Save model and tokenizer for `AutoModelForMaskedLM` and `AutoTokenizer`, atomically."""
    with atomic_directory(directory) as temporary:
        model.save_pretrained(temporary, safe_serialization=True)
        tokenizer.save_pretrained(temporary)


def model_hash(model: torch.nn.Module) -> str:
    """32 hex digits of the weights: names, shapes and float32 bytes, in name order."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def architecture_hash(model: torch.nn.Module) -> str:
    """32 hex digits of a model's class and config: all that decides its outputs but the weights."""
    config = {**cast(Any, model.config).to_dict(), "_name_or_path": None, "dtype": None}
    text = json.dumps(config, sort_keys=True, default=str)
    return content_hash([type(model).__name__, text])


def origin(model: torch.nn.Module, encoder: Encoder) -> dict[str, str]:
    """Hashes of all that a model's outputs hang on: weights, architecture, tokenizer.

    Anything kept for later (a resumable state, a score, a hidden state) belongs to these.
    """
    return {
        "model": model_hash(model),
        "architecture": architecture_hash(model),
        "tokenizer": content_hash([encoder.digest, encoder.max_tokens]),
    }


def machine(device: torch.device, module: str | Path) -> dict[str, Any]:
    """What else decides the bits of a result: kind of device, threads, torch, and our own code.

    Args:
        module: file whose code, with all that it imports, computes the result: what an older
            version kept is not gone on from, nor taken for this one's.
    """
    return {
        "code": code_digest(module),
        "device": device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def choose_device(name: str) -> torch.device:
    """`auto` = CUDA where there is one, else the CPU; any other name as torch reads it."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def configure_torch(threads: int) -> None:
    """Fix what decides the bits of a result: thread count and deterministic kernels.

    Before a GPU is used. What has no deterministic kernel is torch's error, which names it. (With
    `warn_only` attention on a GPU is not deterministic, though it could be.)
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as cuBLAS asks for it
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
