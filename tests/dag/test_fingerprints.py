"""Content hashes of inputs: files and folders."""

import os
import time

import pytest
from coresift.dag import fingerprints
from coresift.dag.fingerprints import Fingerprints


def test_a_folder_is_its_names_and_bytes(tmp_path):
    hashed = Fingerprints(tmp_path / "known.json")
    folder = tmp_path / "TR0"
    folder.mkdir()
    for name in ("a.bpseq", "b.bpseq"):
        (folder / name).write_text("1 G 0\n")
    first = hashed(folder)
    os.utime(folder / "a.bpseq")
    assert hashed(folder) == first  # touched, not changed
    (folder / "b.bpseq").rename(folder / "c.bpseq")
    renamed = hashed(folder)
    (folder / "c.bpseq").write_text("1 A 0\n")
    assert len({first, renamed, hashed(folder)}) == 3
    assert hashed(tmp_path / "absent") == "missing"


def test_of_a_folder_some_endings_count(tmp_path):
    hashed = Fingerprints(tmp_path / "known.json")
    maps = tmp_path / "data/maps"
    maps.mkdir(parents=True)
    (maps / "a.npy").write_bytes(b"1")
    first = hashed(tmp_path / "data", (".npy", ".cif"))
    (maps / "notes.txt").write_text("new")
    (tmp_path / "data/.cache").mkdir()
    (tmp_path / "data/.cache/b.npy").write_bytes(b"2")
    assert hashed(tmp_path / "data", (".npy", ".cif")) == first
    assert hashed(tmp_path / "data") != first
    (maps / "a.npy").write_bytes(b"3")
    assert hashed(tmp_path / "data", (".npy", ".cif")) != first


def settle(monkeypatch):
    """Let every file be one that was changed long ago."""
    monkeypatch.setattr(fingerprints, "SETTLED_NS", -time.time_ns())


def test_a_settled_file_is_read_once(tmp_path, monkeypatch):
    path, cache = tmp_path / "a", tmp_path / "known.json"
    path.write_text("1")
    settle(monkeypatch)
    first = Fingerprints(cache)(path)
    monkeypatch.setattr(fingerprints.xxhash, "xxh3_128", None)  # cannot hash
    assert Fingerprints(cache)(path) == first


@pytest.mark.parametrize("settled", [True, False])
def test_equal_size_and_time_do_not_hide_other_bytes(tmp_path, monkeypatch, settled):
    path, cache = tmp_path / "a", tmp_path / "known.json"
    path.write_text("1")
    if settled:
        settle(monkeypatch)
    else:  # both writes in one tick of the file system's clock
        monkeypatch.setattr(fingerprints, "content_hash", lambda _: "equal")
    before = path.stat()
    first = Fingerprints(cache)(path)
    path.write_text("2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as `cp -p` does
    assert Fingerprints(cache)(path) != first


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"a": 1}'])
def test_hashes_that_cannot_be_kept_are_made_again(tmp_path, monkeypatch, kept):
    path = tmp_path / "a"
    path.write_text("1")
    settle(monkeypatch)
    (tmp_path / "known.json").write_text(kept)
    first = Fingerprints(tmp_path / "known.json")(path)
    # A folder that cannot be written to: here, because it is a file.
    assert Fingerprints(path / "known.json")(path) == first
