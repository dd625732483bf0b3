"""Content hashes of inputs: files and folders."""

import os

from coresift.dag.provenance import Fingerprints


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
