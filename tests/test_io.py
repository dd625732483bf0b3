"""Files are whole or absent, and equal content gives equal bytes."""

import subprocess
import sys
from itertools import pairwise

import polars as pl
import pyarrow as pa
import pytest
from coresift import tables
from coresift.files import read_yaml, write_json, write_tensors
from coresift.report.tables import EMBEDDING
from coresift.selection.tables import CORESET
from coresift.tables import (
    TableWriter,
    conform,
    join_tables,
    read_arrow,
    read_table,
    to_arrow,
    write_arrow,
    write_table,
)
from hypothesis import given, settings
from hypothesis import strategies as st

FRAME = pl.DataFrame(
    {"seq_id": [f"{i:032x}" for i in range(50)], "rank": range(50), "stratum": -1, "weight": 1.0}
)
#: Writes a table where no file may exceed 4 KB, as on a disk that is full.
FULL = """
import resource, sys
import polars as pl
from coresift.selection.tables import CORESET
from coresift.tables import TableWriter, to_arrow, write_arrow, write_table
n = 20_000
frame = pl.DataFrame({"seq_id": [f"{hash((i, 1)) & (2**128 - 1):032x}" for i in range(n)],
                      "rank": range(n), "stratum": -1, "weight": 1.0})
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
if sys.argv[2] == "table":
    write_table(sys.argv[1], frame, CORESET)
elif sys.argv[2] == "arrow":
    write_arrow(sys.argv[1], to_arrow(frame), CORESET)
else:
    with TableWriter(sys.argv[1], CORESET) as writer:
        writer.append(frame)
"""


@pytest.mark.parametrize("kind", ["table", "arrow", "writer"])
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path, kind):
    path = tmp_path / "out" / "t.parquet"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), kind], capture_output=True, text=True, check=False
    )
    assert done.returncode
    assert "File too large" in done.stderr
    assert list(path.parent.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "v.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["v.json"]


def test_tables_are_held_to_their_schema(tmp_path):
    write_table(tmp_path / "t.parquet", FRAME, CORESET)
    assert read_table(tmp_path / "t.parquet", CORESET)["rank"].dtype == pl.Int32
    with pytest.raises(ValueError, match=r"columns missing: \['weight'\]"):
        write_table(tmp_path / "u.parquet", FRAME.drop("weight"), CORESET)
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"cut\.parquet: not a readable Parquet table"):
        read_table(tmp_path / "cut.parquet", CORESET)


def test_arrow_files_are_held_to_their_schema(tmp_path):
    path, table = tmp_path / "t.arrow", to_arrow(conform(FRAME, CORESET))
    write_arrow(path, table, CORESET)
    assert read_arrow([path, path], CORESET).equals(pa.concat_tables([table, table]))
    assert read_arrow([], CORESET).schema == table.schema
    with pytest.raises(ValueError, match=r"t\.arrow: columns .*expected \['seq_id', 'x', 'y'\]"):
        read_arrow([path], EMBEDDING)
    with pytest.raises(ValueError, match="names"):
        write_arrow(tmp_path / "u.arrow", table.drop_columns("weight"), CORESET)
    for size in (0, 7, path.stat().st_size - 20):
        (tmp_path / "cut.arrow").write_bytes(path.read_bytes()[:size])
        with pytest.raises(ValueError, match=r"cut\.arrow: not a readable Arrow file"):
            read_arrow([tmp_path / "cut.arrow"], CORESET)


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 50), max_size=6))
def test_bytes_do_not_depend_on_how_rows_are_cut(tmp_path_factory, cuts):
    folder = tmp_path_factory.mktemp("cuts")
    edges = [0, *sorted(cuts), 50]
    with TableWriter(folder / "pieces", CORESET, row_group_size=8) as writer:
        for start, stop in pairwise(edges):
            writer.append(FRAME[start:stop])
    with TableWriter(folder / "whole", CORESET, row_group_size=8) as writer:
        writer.append(FRAME)
    assert (folder / "pieces").read_bytes() == (folder / "whole").read_bytes()


def test_tensor_files_have_fixed_bytes(tmp_path):
    import torch

    tensors = {"b": torch.arange(3), "a": torch.ones(2)}
    write_tensors(tmp_path / "1", tensors, {"y": 1, "x": [2]})
    write_tensors(tmp_path / "2", dict(reversed(tensors.items())), {"x": [2], "y": 1})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: {c: 2}\n", {"a": 1, "b": {"c": 2}}),
        ("", None),
        ("\ufeffa: 1\n", {"a": 1}),
        ('{\n\t"a": [1,\t{"b": 2}]\n}\n', {"a": [1, {"b": 2}]}),  # JSON may have tabs
        ("x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}\n", {"x": {"a": 1, "b": 2}, "y": {"b": 2, "a": 3}}),
        ("a: 1\n1: 2\n'1': 3\n", {"a": 1, 1: 2, "1": 3}),
        ("a: 1\nb: 2\na: 3\n", "line 3: a is given twice"),
        ("a:\n  - b: {c: 1,\n       c: 1}\n", "line 3: c is given twice"),
        ('{"a": 1,\n\t"a": 2}', "line 2: a is given twice"),
        ("a: [1\nb: 2\n", "not readable YAML"),
        ("a: \x00", "not readable YAML"),
    ],
)
def test_yaml_is_read_or_refused(tmp_path, text, expected):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=f"c.yaml: .*{expected}"):
            read_yaml(path)
    else:
        assert read_yaml(path) == expected


def test_joined_tables_are_their_rows_however_they_are_read(tmp_path, monkeypatch):
    for name, rows in (("a", FRAME[:30]), ("b", FRAME[:0]), ("c", FRAME[30:])):
        write_table(tmp_path / name, rows, CORESET)
    parts = [tmp_path / name for name in "abc"]
    assert join_tables(tmp_path / "one", parts, CORESET) == 50
    monkeypatch.setattr(tables, "_ROWS_READ", 7)
    join_tables(tmp_path / "two", parts, CORESET)
    assert read_table(tmp_path / "one", CORESET).equals(conform(FRAME, CORESET))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (
        join_tables(tmp_path / "none", [], CORESET) == read_table(tmp_path / "none", CORESET).height
    )
    (tmp_path / "b").write_text("PAR1")
    with pytest.raises(ValueError, match="b: "):
        join_tables(tmp_path / "three", parts, CORESET)
    assert not (tmp_path / "three").exists()
