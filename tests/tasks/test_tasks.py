"""Readers, metrics, and a real head on a real (tiny) encoder."""

import numpy as np
import pytest
import torch
import transformers
from coresift.alphabet import SPECIAL
from coresift.models.checkpoint import build_model, position_limit, save_model
from coresift.tasks.baseline import baseline
from coresift.tasks.data import TaskDataError, read_task
from coresift.tasks.evaluate import evaluate_task
from coresift.tasks.settings import Task
from coresift.tasks.targets import make_targets
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split


def table(tmp_path, rows, header="sequence,label,split"):
    path = tmp_path / "t.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def composition_rows(n=120, label=lambda s: "rich" if s.count("G") > 10 else "poor"):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        weights = [0.1, 0.1, 0.7, 0.1] if i % 2 else [0.3, 0.3, 0.1, 0.3]
        sequence = "".join(rng.choice(list("ACGU"), 24, p=weights))
        rows.append(
            f"{sequence},{label(sequence)},{('train', 'train', 'valid', 'test')[i % 8 // 2]}"
        )
    return rows


LABELS = {
    "class": lambda s: "rich" if s.count("G") > 10 else "poor",
    "multilabel": lambda s: f"{int(s.count('G') > 10)} {int(s[:12].count('G') > 5)}",
    "scalar": lambda s: str(10 + s.count("G")),
    "token": lambda s: "".join("P" if c in "AG" else "Y" for c in s),
}


@pytest.mark.parametrize("kind", LABELS)
def test_each_kind_learns(tmp_path, kind):
    torch.set_num_threads(1)
    save_model(tmp_path / "m", *build_model("tiny", "rna", 0))
    path = table(tmp_path, composition_rows(label=LABELS[kind]))
    task = Task(kind=kind, data={"path": path}, epochs=60, learning_rate=1e-2)
    arguments = (tmp_path / "m", task, "rna", [0, 1], 2048, torch.device("cpu"), tmp_path)
    metrics, predictions = evaluate_task(*arguments)
    assert metrics["metrics"][metrics["primary"]]["mean"] > 0.8
    again, same = evaluate_task(*arguments)
    assert metrics == again
    assert predictions.equals(same)
    assert metrics["examples"] == {"train": 60, "valid": 30, "test": 30}


def test_finetune_and_pairs_run(tmp_path):
    torch.set_num_threads(1)
    save_model(tmp_path / "m", *build_model("tiny", "rna", 0))
    rows = [row.replace(",", ",GGGAAA,", 1) for row in composition_rows(40)]
    path = table(tmp_path, rows, "sequence,partner,label,split")
    data = {"path": path, "sequence_b": "partner"}
    task = Task(kind="pair", data=data, mode="finetune", epochs=8, learning_rate=1e-2)
    metrics, _ = evaluate_task(
        tmp_path / "m", task, "rna", [0], 2048, torch.device("cpu"), tmp_path
    )
    assert metrics["metrics"]["accuracy"]["mean"] > 0.7


#: The token order of BEACON's RNA-FM, T for U.
BEACON_TOKENS = ["<pad>", "<cls>", "<eos>", "<unk>", "<mask>", "<null>", *"ACGTNXVHDBMRWSYK.*-"]


@pytest.mark.parametrize(("family", "limit"), [("Bert", 30), ("Roberta", 29)])
def test_any_hugging_face_checkpoint(tmp_path, family, limit):
    """Another architecture and vocabulary; sequences longer than its positions are cropped."""
    vocabulary = {token: i for i, token in enumerate(BEACON_TOKENS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Split(Regex("."), behavior="isolated")
    config = getattr(transformers, f"{family}Config")(
        vocab_size=len(vocabulary), pad_token_id=0, max_position_embeddings=30,
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
    )  # fmt: skip
    model = getattr(transformers, f"{family}ForMaskedLM")(config)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)
    save_model(tmp_path / "m", model, fast)
    assert position_limit(model) == limit
    rows = [f"{row.split(',')[0] * 2},{row.split(',', 1)[1]}" for row in composition_rows()]
    task = Task(kind="class", data={"path": table(tmp_path, rows)}, epochs=30, learning_rate=1e-2)
    arguments = (tmp_path / "m", task, "rna", [0], 2048, torch.device("cpu"), tmp_path)
    metrics, _ = evaluate_task(*arguments)
    assert metrics["metrics"]["accuracy"]["mean"] > 0.8
    assert metrics["cropped"]["room"] == limit - 2


@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_a_protein_partner_is_read_by_its_triads(tmp_path, mode):
    """The label hangs on the partner alone, which the RNA model cannot encode."""
    torch.set_num_threads(1)
    save_model(tmp_path / "m", *build_model("tiny", "rna", 0))
    rng = np.random.default_rng(0)
    (tmp_path / "rna.fa").write_text(">r1\nGGACUUC\n>r2\nCCAUUGA\n")
    lines, proteins = [], []
    for i in range(120):
        letters = "RKRKRKA" if i % 2 else "DEDEDEA"
        proteins.append(f">p{i}\n{''.join(rng.choice(list(letters), 30))}\n")
        lines.append(f"p{i} r{1 + i % 3 // 2} {i % 2}\n")
    (tmp_path / "protein.fa").write_text("".join(proteins))
    (tmp_path / "pairs.txt").write_text("".join(lines))
    names = {"path": "pairs.txt", "fasta": "rna.fa", "fasta_b": "protein.fa"}
    data = {key: str(tmp_path / name) for key, name in names.items()}
    task = Task(preset="rbp", data=data, mode=mode, learning_rate=1e-2, encoder_rate=0.1, epochs=5)
    arguments = (tmp_path / "m", task, "rna", [0], 2048, torch.device("cpu"), tmp_path)
    metrics, _ = evaluate_task(*arguments)
    assert metrics["examples"] == {"train": 84, "valid": 12, "test": 24}
    assert metrics["metrics"]["accuracy"]["mean"] > 0.9


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("ACGU,,train", "line 2: no label"),
        ("ACGU!,a,train", "line 2: letters outside the alphabet"),
        (",a,train", "line 2: no sequence"),
        ("ACGU,a,dev", "line 2: split is 'dev'"),
    ],
)
def test_malformed_rows_are_named(tmp_path, row, message):
    task = Task(kind="class", data={"path": table(tmp_path, [row])})
    with pytest.raises(TaskDataError, match=message):
        read_task(task, "rna")


def test_blanks_around_a_sequence_are_none_of_it(tmp_path):
    rows = ["ACGU ,a,train", " acgt,a,test", "GGGG,b,train", "CCCC,b,valid"]
    for foreign in ("error", "unknown"):
        source = {"path": table(tmp_path, rows), "foreign_letters": foreign}
        data = read_task(Task(kind="class", data=source), "rna")
        assert data.notes == {"train": {"dropped_in_test": 1}}


def test_nucleotides_of_a_protein_task_are_refused_or_warned_of(tmp_path, caplog):
    rng = np.random.default_rng(0)
    dna, protein = (
        ["".join(rng.choice(list(letters), 60)) for _ in range(40)]
        for letters in ("ACGT", "ACDEFGHIKLMNPQRSTVWY")
    )
    splits = ["train", "valid", "test", "train"] * 10
    rows = [f"{sequence},a,{split}" for sequence, split in zip(dna, splits, strict=True)]
    task = Task(kind="class", data={"path": table(tmp_path, rows)})
    with pytest.raises(TaskDataError, match=r"40 of 40 records \(100.0%\) look like nucleotides"):
        read_task(task, "protein")
    assert read_task(task, "rna").frame.height == 40
    proteins = [f"{sequence},a,{split}" for sequence, split in zip(protein, splits, strict=True)]
    task = Task(kind="class", data={"path": table(tmp_path, [rows[0], *proteins[1:]])})
    assert read_task(task, "protein").notes == {}
    assert "1 of 40 records (2.5%) look like nucleotides; modality is protein" in caplog.text


def test_a_given_split_that_is_all_in_test_is_not_drawn_anew(tmp_path):
    for split in ("valid", "train"):
        rows = [f"ACGU,a,{split}", "ACGU,a,test", "GGGG,b,train", "CCCC,b,valid"]
        rows = [row for row in rows if row.startswith("A") or not row.endswith(split)]
        task = Task(kind="class", data={"path": table(tmp_path, rows)})
        with pytest.raises(TaskDataError, match=rf"no example in the {split} .*dropped_in_test: 1"):
            read_task(task, "rna")


def test_train_examples_that_are_in_test_are_dropped(tmp_path):
    rows = ["ACGU,a,train", "acgt,a,test", "GGGG,b,train", "CCCC,b,valid"]
    data = read_task(Task(kind="class", data={"path": table(tmp_path, rows)}), "rna")
    assert data.notes == {"train": {"dropped_in_test": 1}}
    assert data.split("train")["sequence"].to_list() == ["GGGG"]


@pytest.mark.parametrize(
    ("kind", "label", "message"),
    [
        ("scalar", "high", "not a finite number"),
        ("multilabel", "0 2", "not 2 labels of 0 or 1"),
        ("token", "HH", "2 labels for a sequence of 4"),
    ],
)
def test_bad_labels(tmp_path, kind, label, message):
    rows = [f"ACGU,{label},{split}" for split in ("test",)]
    rows += [f"{s},{label},{split}" for s, split in (("GGGG", "train"), ("CCCC", "valid"))]
    task = Task(kind=kind, data={"path": table(tmp_path, rows)})
    with pytest.raises(TaskDataError, match=message):
        make_targets(task, read_task(task, "rna").frame, "rna")


def test_real_nrc(shared_data):
    folder = shared_data / "rna_type_cls"
    files = {"train": str(folder / "nRC_train.fasta.gz"), "test": str(folder / "nRC_test.fasta.gz")}
    task = Task(kind="class", data=files)
    metrics, _ = baseline(task, "rna")
    assert len(metrics["classes"]) == 13
    assert metrics["examples"]["test"] == 2529
    assert metrics["metrics"]["accuracy"]["mean"] > 0.3  # chance is 0.08
