"""Digests of the code that a rule runs."""

import json

import pytest
from coresift.dag import code
from coresift.dag.code import Sources


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three modules beside a script that reaches two of them."""
    folder = tmp_path / "coresift"
    folder.mkdir()
    (folder / "a.py").write_text("from coresift import b\nx = 1\n")
    (folder / "b.py").write_text("import os\n\n\ndef f():\n    return 2\n")
    (folder / "c.py").write_text("y = 3\n")
    (tmp_path / "job.py").write_text("from coresift.a import x\n\nprint(x)\n")
    monkeypatch.setattr(code, "PACKAGE", folder)
    return tmp_path


def test_a_script_is_what_it_reaches(package):
    assert Sources().imported_files(package / "job.py") == [
        package / "coresift/a.py", package / "coresift/b.py", package / "job.py"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "same"),
    [
        ("c.py", "y = 4\n", True),  # not reached
        ("b.py", '"""Words."""\nimport os\n\ndef f():\n    return  2  # more\n', True),
        ("b.py", "import os\n\n\ndef f():\n    return 3\n", False),
    ],
)
def test_code_counts_and_words_do_not(package, name, text, same):
    kept = package / "code.json"
    sources = Sources(kept)
    before = sources.digest(package / "job.py")
    sources.keep()
    (package / "coresift" / name).write_text(text)
    for path in (None, kept):
        assert (Sources(path).digest(package / "job.py") == before) is same


def test_what_was_parsed_is_not_parsed_again(package, monkeypatch):
    kept = package / "code.json"
    sources = Sources(kept)
    before = sources.digest(package / "job.py")
    sources.keep()
    monkeypatch.setattr(code, "parse", None)  # cannot parse
    again = Sources(kept)
    assert again.digest(package / "job.py") == before
    assert Sources(kept).imported_files(package / "job.py") == sources.imported_files(
        package / "job.py"
    )
    first = kept.stat().st_mtime_ns
    again.keep()
    assert kept.stat().st_mtime_ns == first  # nothing new to write


def test_another_parser_parses_again(package, monkeypatch):
    kept = package / "code.json"
    sources = Sources(kept)
    sources.digest(package / "job.py")
    sources.keep()
    monkeypatch.setattr(code, "_parser", lambda: b"another Python")
    monkeypatch.setattr(code, "parse", None)
    with pytest.raises(TypeError):
        Sources(kept).digest(package / "job.py")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": []}'])
def test_what_cannot_be_read_is_parsed(package, text):
    kept = package / "code.json"
    expected = Sources().digest(package / "job.py")
    kept.write_text(text)
    sources = Sources(kept)
    assert sources.digest(package / "job.py") == expected
    sources.keep()
    assert len(json.loads(kept.read_text())) == 3
    Sources(kept / "below").keep()  # a folder that cannot be written to: it is a file
