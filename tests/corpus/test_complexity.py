"""Low complexity: DUST and tantan, what ingest does about it, and the features of the pool."""

import polars as pl
import pytest
from coresift.corpus.complexity import hard_masked, n_masked, soft_masked
from coresift.corpus.features import describe_features, features
from coresift.corpus.ingest import ingest
from coresift.corpus.normalise import Limits
from coresift.corpus.settings import Corpus
from coresift.corpus.tables import FEATURE, PART, REJECT, SEQUENCE
from coresift.tables import conform, read_arrow, read_table, write_table

#: No triplet of it stands out, so DUST leaves it.
PLAIN = "GAUCACGGUACUUGCAAGCCUGAUUCGGAACUACGCUUAGGCAUCC"
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDN"


@pytest.mark.parametrize(
    ("sequence", "modality", "masked"),
    [
        (PLAIN, "rna", ""),
        ("U" * 40, "rna", "U" * 40),  # to DUST as T, not as an unknown base
        (PLAIN + "CAG" * 20 + PLAIN, "rna", "CAG" * 20),
        ("ACG", "rna", ""),  # shorter than DUST takes
        ("N" * 40, "rna", ""),
        (PROTEIN, "protein", ""),
        # tantan finds the copies: a repeat but for its first unit.
        (PROTEIN + "Q" * 30 + PROTEIN[::-1], "protein", "Q" * 29),
        ("X" * 30, "protein", ""),
    ],
)
def test_masked_residues(sequence, modality, masked):
    soft = soft_masked(sequence, modality)
    assert soft.upper() == sequence
    found = "".join(c for c in soft if c.islower()).upper()
    assert masked in found
    assert len(found) <= len(masked) + (8 if masked else 0)  # chance extends a repeat
    assert n_masked(soft) == len(found)
    unknown = {"rna": "N", "protein": "X"}[modality]
    assert hard_masked(soft, modality) == "".join(unknown if c.islower() else c for c in soft)


RECORDS = {"plain": PLAIN, "tail": PLAIN + "A" * 30, "poly": "ACG" + "U" * 60, "short": "A" * 5}


@pytest.mark.parametrize(
    ("action", "kept", "masked"),
    [
        ("keep", ["plain", "tail", "poly"], 0),
        ("drop", ["plain", "tail"], 0),
        ("mask", ["plain", "tail"], 30),
    ],
)
def test_ingest_keeps_drops_or_masks(tmp_path, action, kept, masked):
    path = tmp_path / "x.fa"
    path.write_text("".join(f">{name}\n{s.replace('U', 't')}\n" for name, s in RECORDS.items()))
    settings = Corpus(fasta=["x.fa"], low_complexity={"action": action})
    limits = Limits.of(settings.model_dump())
    report = ingest(path, "x", [tmp_path / "part"], tmp_path / "rejects", "rna", limits, 8, 1 << 20)
    part = pl.DataFrame(read_arrow([tmp_path / "part"], PART))
    assert part["source_id"].to_list() == kept
    tail = PLAIN + ("N" if action == "mask" else "A") * 30
    assert part["sequence"].to_list()[:2] == [PLAIN, tail]
    assert report["masked"] == {"records": int(masked > 0), "residues": masked}
    rejects = read_table(tmp_path / "rejects", REJECT).select("record", "reason").rows()
    low = [] if action == "keep" else [(3, "low_complexity")]
    assert rejects == [*low, (4, "too_short")]
    assert report["rejected"] == {reason: 1 for _, reason in rejects}


def test_features_of_the_pool(tmp_path):
    sequences = [PLAIN, "GCNU" * 2, "U" * 40]
    frame = pl.DataFrame({"seq_id": ["a", "b", "c"], "sequence": sequences}).with_columns(
        length=pl.col("sequence").str.len_bytes(),
        block=0,
        n_copies=1,
        n_windows=0,
        source_ids=pl.concat_list("seq_id"),
    )
    paths = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    write_table(paths[0], frame.head(2), SEQUENCE)
    write_table(paths[1], frame.tail(1), SEQUENCE)
    found = conform(pl.concat(features(paths, "rna")), FEATURE)
    assert found["length"].to_list() == [len(s) for s in sequences]
    assert found["composition"].to_list() == [24 / 46, 0.5, 0]
    assert found["ambiguous"].to_list() == [0, 0.25, 0]
    assert found["low_complexity"].to_list() == [0, 0, 1]
    write_table(tmp_path / "features.parquet", found, FEATURE)
    assert describe_features(tmp_path / "features.parquet") == {
        "sequences": 3,
        "residues": 94,
        "composition": 28,
        "ambiguous": 2,
        "low_complexity": 40,
        "sequences_ambiguous": 1,
        "sequences_low_complexity": 1,
    }
