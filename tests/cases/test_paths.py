"""Paths are paths: what looks like a pattern is a name, or is refused by name."""

import re

import polars as pl
import pytest
from coresift.config import load_config
from coresift.corpus.blocks import sequence_id
from coresift.corpus.dedup import deduplicate, iter_pool, read_shard
from coresift.corpus.ingest import ingest
from coresift.corpus.normalise import Limits
from coresift.corpus.settings import source_name
from coresift.corpus.summary import duplicate_ids, summarise
from coresift.corpus.tables import REJECT, SEQUENCE
from coresift.files import write_json
from coresift.settings import ConfigError
from coresift.tables import read_table, write_arrow, write_table

#: A name and one that it would match as a pattern.
NAMES = [("a[bc]", "ab"), ("a*", "axx"), ("a?", "ax"), ("a {b} 'c' \"d\" é", "other")]
ODD = "my [odd] \"q\" 's' $(x); =, %j #é file*?.fa"


@pytest.mark.parametrize(("name", "decoy"), NAMES)
def test_every_corpus_reader_takes_names_literally(tmp_path, name, decoy):
    made = {}
    for folder, records in ((name, ["ACGUACGU", "ACG", "CCCCCCCC"]), (decoy, ["GGGGGGGG"] * 3)):
        out = tmp_path / folder
        out.mkdir()
        fasta = out / f"{folder}.fa"
        fasta.write_text("".join(f">{i}\n{sequence}\n" for i, sequence in enumerate(records)))
        report = ingest(
            fasta, source_name(str(fasta)), [out / "part"], out / "rejects.parquet", "rna",
            Limits(5, 50, 0.1), 4, 1 << 20,
        )  # fmt: skip
        write_json(out / "report.json", report)
        table = deduplicate([out / "part"], 4)
        write_arrow(out / "distinct.arrow", table, SEQUENCE)
        write_table(out / "pool.parquet", pl.DataFrame(table), SEQUENCE)
        made[folder] = out
    out = made[name]
    expected = sorted(map(sequence_id, ["ACGUACGU", "CCCCCCCC"]))
    pool = [out / "pool.parquet"]
    assert read_table(pool[0], SEQUENCE)["seq_id"].to_list() == expected
    assert read_shard(pool, 0, 1, 4)["seq_id"].to_list() == expected
    assert [frame.height for frame in iter_pool(pool, ["seq_id"])] == [2]
    assert read_table(out / "rejects.parquet", REJECT).height == 1
    assert duplicate_ids([out / "distinct.arrow"]).height == 0
    summary = summarise([out / "report.json"], [out / "distinct.arrow"], pool, [], 0, 0)
    assert (summary["pool"], summary["residues"]) == (2, 16)


@pytest.mark.parametrize("name", ["{x}.fa", "a{", "a\nb.fa", "a\x1b[0m.fa"])
@pytest.mark.parametrize("key", ["fasta", "checkpoint", "checkpoints", "task"])
def test_what_cannot_be_a_path_is_refused_by_name(key, name):
    config = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a.fa"]}}
    config |= {
        "fasta": {"corpus": {"fasta": [name]}},
        "checkpoint": {"base": {"checkpoint": name}},
        "checkpoints": {"evaluate": {"checkpoints": {"a": name}}},
        "task": {"tasks": {"t": {"kind": "class", "data": {"path": name}}}},
    }[key]
    with pytest.raises(ConfigError, match=f"braces .*{re.escape(repr(name))}"):
        load_config(config)


def test_labels_of_files_are_plain_and_differ():
    assert source_name(f"x/{ODD}") == "my__odd___q___s____x_______j____file__"
    config = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a b.fa", "a_b.fa"]}}
    with pytest.raises(ConfigError, match=r"file names must differ .*'a_b'"):
        load_config(config)


@pytest.mark.workflow
def test_odd_names_go_through_the_rules(tmp_path, run_rules):
    (tmp_path / ODD).write_text("".join(f">{i}\n{'ACGU' * 20}{'A' * i}\n" for i in range(9)))
    folder = tmp_path / "tasks [z]* ?'"
    folder.mkdir()
    (folder / "t.csv").write_text("sequence,label,split\n")
    data = {"path": f"{folder.name}/t.csv"}
    config = {"run": "r", "modality": "rna", "corpus": {"fasta": [ODD], "buckets": 2, "blocks": 8},
              "tasks": {"t": {"kind": "class", "data": data}}}  # fmt: skip
    done = run_rules(config, "-n", "-q", "rules")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    label = source_name(ODD)
    done = run_rules(config, f"results/r/corpus/ingest/{label}.json")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / f"results/r/corpus/parts/{label}/1.arrow").exists()
