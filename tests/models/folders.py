"""Tiny random checkpoints of each architecture, in their layouts and with their tokenizers."""

import json

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing

LETTERS = "LAGVSERTIDPKQNFYMHWCXBUZO"
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
ESM = ["<cls>", "<pad>", "<eos>", "<unk>", *LETTERS, ".", "-", "<null_1>", "<mask>"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", *LETTERS, "<mask>"]

SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8}
SIZES |= {"intermediate_size": 12, "initializer_range": 0.3}


def _words(folder, vocabulary, **config):
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _byte_pairs(folder):
    vocabulary = {token: i for i, token in enumerate(ROBERTA)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {"tokenizer_class": "RobertaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _fast(folder):
    vocabulary = {token: i for i, token in enumerate(BERT)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Split(Regex("."), behavior="isolated")
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": token for name, token in special.items()}
    ).save_pretrained(folder)


#: Architecture -> config, tokenizer writer, dense weight of the LM head, position limit.
ARCHITECTURES = {
    "bert": (
        lambda: transformers.BertConfig(
            vocab_size=len(BERT), pad_token_id=0, max_position_embeddings=14, **SIZES
        ),
        lambda folder: _words(folder, BERT, tokenizer_class="BertTokenizer", do_lower_case=False),
        "cls.predictions.transform.dense.weight",
        14,
    ),
    "roberta": (
        lambda: transformers.RobertaConfig(
            vocab_size=len(ROBERTA), pad_token_id=1, max_position_embeddings=16, **SIZES
        ),
        _byte_pairs,
        "lm_head.dense.weight",
        14,
    ),
    "esm": (
        lambda: transformers.EsmConfig(
            vocab_size=len(ESM), pad_token_id=1, mask_token_id=32, max_position_embeddings=16,
            position_embedding_type="rotary", emb_layer_norm_before=False, token_dropout=True,
            **SIZES,
        ),
        lambda folder: _words(folder, ESM, tokenizer_class="EsmTokenizer"),
        "lm_head.dense.weight",
        None,
    ),
    "roformer": (
        lambda: transformers.RoFormerConfig(
            vocab_size=len(BERT), pad_token_id=0, max_position_embeddings=14, **SIZES
        ),
        lambda folder: _words(folder, BERT, tokenizer_class="RoFormerTokenizer"),
        "cls.predictions.transform.dense.weight",
        14,
    ),
    "modernbert": (
        lambda: transformers.ModernBertConfig(
            vocab_size=len(BERT), pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2,
            sep_token_id=3, max_position_embeddings=64, local_attention=8, **SIZES,
        ),
        _fast,
        "head.dense.weight",
        None,
    ),
    "esmc": (
        lambda: transformers.EsmcConfig(
            vocab_size=64, pad_token_id=1, mask_token_id=32, max_position_embeddings=64, **SIZES
        ),
        lambda folder: transformers.EsmcTokenizer().save_pretrained(folder),
        "lm_head.dense.weight",
        None,
    ),
}  # fmt: skip


def make_model(name):
    """A model with seeded random weights away from the symmetric start."""
    config = ARCHITECTURES[name][0]()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.MODEL_FOR_MASKED_LM_MAPPING[type(config)](config).eval()
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.3)
    return model


def write_folder(folder, name, form="safetensors", dtype=torch.float32, weights=None):
    """A checkpoint folder, whole or in shards; `weights` replace the model's."""
    folder.mkdir(parents=True, exist_ok=True)
    model = make_model(name).to(dtype)
    model.config.dtype = dtype
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    ARCHITECTURES[name][1](folder)
    if weights is None:
        weights = untied(model)
    write_weights(folder, weights, form)
    return folder


def untied(model):
    """The weights as transformers writes them: a tied tensor once."""
    seen, kept = set(), {}
    for key, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            kept[key] = tensor.clone()
    return kept


def write_weights(folder, weights, form):
    kind, _, shards = form.partition("-")
    stem = {"safetensors": "model", "bin": "pytorch_model"}[kind]

    def write(file, part):
        if kind == "bin":
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file, metadata={"format": "pt"})

    if not shards:
        write(f"{stem}.{kind}", weights)
        return
    names, places = sorted(weights), {}
    for i in range(3):
        file = f"{stem}-0000{i + 1}-of-00003.{kind}"
        part = {name: weights[name] for name in names[i::3]}
        write(file, part)
        places |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": places}
    (folder / f"{stem}.{kind}.index.json").write_text(json.dumps(index))
