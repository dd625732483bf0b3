"""`coresift-convert`: checkpoints in their authors' own format -> Hugging Face folders."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import torch
from transformers import EsmConfig, EsmForMaskedLM

from coresift.alphabet import ALPHABETS
from coresift.models.checkpoint import save_model
from coresift.models.tokenizer import build_tokenizer
from coresift.models.weights import CheckpointError, check_fetched, named, some

#: Names of RNA-FM (fairseq's ESM-1b) -> names of transformers' ESM, the first that matches.
RNA_FM_NAMES = {
    r"^embed_tokens\.": "esm.embeddings.word_embeddings.",
    r"^embed_positions\.": "esm.embeddings.position_embeddings.",
    r"^emb_layer_norm_before\.": "esm.embeddings.layer_norm.",
    r"^emb_layer_norm_after\.": "esm.encoder.emb_layer_norm_after.",
    r"^layers\.(\d+)\.self_attn\.q_proj\.": r"esm.encoder.layer.\1.attention.self.query.",
    r"^layers\.(\d+)\.self_attn\.k_proj\.": r"esm.encoder.layer.\1.attention.self.key.",
    r"^layers\.(\d+)\.self_attn\.v_proj\.": r"esm.encoder.layer.\1.attention.self.value.",
    r"^layers\.(\d+)\.self_attn\.out_proj\.": r"esm.encoder.layer.\1.attention.output.dense.",
    r"^layers\.(\d+)\.self_attn_layer_norm\.": r"esm.encoder.layer.\1.attention.LayerNorm.",
    r"^layers\.(\d+)\.fc1\.": r"esm.encoder.layer.\1.intermediate.dense.",
    r"^layers\.(\d+)\.fc2\.": r"esm.encoder.layer.\1.output.dense.",
    r"^layers\.(\d+)\.final_layer_norm\.": r"esm.encoder.layer.\1.LayerNorm.",
    r"^lm_head\.weight$": "lm_head.decoder.weight",
    r"^lm_head\.": "lm_head.",
}
#: Regression on attention maps, beside the path of the MLM loss; the release has none.
_IGNORED = re.compile(r"^contact_head\.")


def read_rna_fm(path: str | Path) -> EsmForMaskedLM:
    """RNA-FM's own file (`RNA-FM_pretrained.pth`) as a model of transformers, float32.

    As the authors' loader (ml4bio/RNA-FM, `fm.pretrained`) does, the embedding of <mask> is set to
    zero before the tied output weights are read. Nothing of the file is executed.

    Raises:
        CheckpointError: not such a file; names what is wrong with it.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    check_fetched(path)
    with (
        named(path, "not readable as weights"),
        torch.serialization.safe_globals([argparse.Namespace]),
    ):
        data = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(data, dict) or not {"args", "model"} <= set(data):
        raise CheckpointError(f"{path}: no 'args' and 'model'; not an RNA-FM checkpoint")
    options = {name.removeprefix("encoder_"): v for name, v in vars(data["args"]).items()}
    if options.get("arch") != "roberta_large":
        raise CheckpointError(f"{path}: architecture {options.get('arch')!r}, not 'roberta_large'")
    own = {
        re.sub(r"^(encoder\.)?(sentence_encoder\.)?", "", n): t for n, t in data["model"].items()
    }
    model = EsmForMaskedLM(_rna_fm_config(path, own, options)).eval()
    own["embed_tokens.weight"][model.config.mask_token_id].zero_()
    weights = _renamed(path, own)
    # The output weights are the embedding's, and the last that the authors' loader reads.
    tied = weights.pop("lm_head.decoder.weight", weights["esm.embeddings.word_embeddings.weight"])
    weights["esm.embeddings.word_embeddings.weight"] = tied
    with named(path, "weights that do not fit RNA-FM's architecture"):
        report = model.load_state_dict(weights, strict=False)
    beside = ("contact_head", "lm_head.decoder.weight", "lm_head.decoder.bias", "position_ids")
    missing = [n for n in report.missing_keys if not any(part in n for part in beside)]
    if missing:
        raise CheckpointError(f"{path}: weights missing: {some(missing)}")
    model.tie_weights()
    return model


def _rna_fm_config(
    path: Path, weights: dict[str, torch.Tensor], options: dict[str, Any]
) -> EsmConfig:
    try:
        tokens, width = weights["embed_tokens.weight"].shape
        positions = len(weights["embed_positions.weight"])
        feed_forward = len(weights["layers.0.fc1.weight"])
        heads = int(options["attention_heads"])
    except KeyError as error:
        raise CheckpointError(f"{path}: no {error.args[0]}; not an RNA-FM checkpoint") from None
    vocabulary = ALPHABETS["rna"].vocabulary
    if tokens != len(vocabulary):
        raise CheckpointError(
            f"{path}: {tokens} tokens, RNA-FM has {len(vocabulary)} (mRNA-FM, which reads codons, "
            "is not supported)"
        )
    layers = {int(found[1]) for n in weights if (found := re.match(r"layers\.(\d+)\.", n))}
    return EsmConfig(
        vocab_size=tokens,
        pad_token_id=vocabulary.index("<pad>"),
        mask_token_id=vocabulary.index("<mask>"),
        hidden_size=width,
        num_hidden_layers=max(layers) + 1,
        num_attention_heads=heads,
        intermediate_size=feed_forward,
        max_position_embeddings=positions,
        position_embedding_type="absolute",
        layer_norm_eps=1e-5,
        emb_layer_norm_before="emb_layer_norm_before.weight" in weights,
        token_dropout=bool(options.get("token_dropout", False)),
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
    )


def _renamed(path: Path, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = {}
    unknown = []
    for name, tensor in weights.items():
        if _IGNORED.match(name):
            continue
        rule = next((pattern for pattern in RNA_FM_NAMES if re.match(pattern, name)), None)
        if rule is None:
            unknown.append(name)
        else:
            found[re.sub(rule, RNA_FM_NAMES[rule], name)] = tensor.float()
    if unknown:
        raise CheckpointError(f"{path}: weights that RNA-FM does not have: {some(unknown)}")
    return found


def main(arguments: list[str] | None = None) -> None:
    """Command line: see the parser."""
    parser = argparse.ArgumentParser(
        prog="coresift-convert",
        description="Turn a checkpoint in its authors' own format into a Hugging Face folder for "
        "base.checkpoint and evaluate.checkpoints.",
    )
    parser.add_argument("kind", choices=["rna-fm"], help="rna-fm: RNA-FM_pretrained.pth")
    parser.add_argument("file", type=Path, help="the authors' file")
    parser.add_argument("out", type=Path, help="the folder to write; must not exist")
    given = parser.parse_args(arguments)
    if given.out.exists():
        parser.exit(2, f"{given.out}: exists already\n")
    try:
        model = read_rna_fm(given.file)
    except CheckpointError as error:
        parser.exit(2, f"{error}\n")
    save_model(given.out, model, build_tokenizer("rna", model.config.max_position_embeddings - 2))
    print(f"{given.out}: {sum(p.numel() for p in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
