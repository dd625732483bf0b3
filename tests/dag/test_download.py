"""Downloads from a local server that fails, cuts, corrupts, ignores ranges and changes its mind."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from coresift.config import load_config
from coresift.dag import download as module
from coresift.dag.download import DownloadError, download
from coresift.settings import ConfigError

BODY = bytes(range(256)) * 400
SIZE = len(BODY)
SHA = "sha256:" + hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers by a script: one step a request, the last one for ever.

    Steps: ok, 500, 404, cut (half the body, then the connection closes), corrupt (a byte changed),
    plain (ranges ignored), other (another version of the file), silent (no answer in time).
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.steps, self.asked, self.body, self.version = ["ok"], [], BODY, '"v1"'
        self.url = f"http://127.0.0.1:{self.server_port}/data/x.fa.gz"
        self.release = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        step = server.steps.pop(0) if len(server.steps) > 1 else server.steps[0]
        server.asked.append(self.headers.get("Range"))
        if step == "silent":
            server.release.wait(20)
            return
        if step.isdigit():
            self.send_error(int(step))
            return
        if step == "other":
            server.body, server.version = BODY[::-1], '"v2"'
        body, first = server.body, 0
        if step == "corrupt":
            body = body[:-5] + b"?" + body[-4:]
        asked = self.headers.get("Range")
        if asked and step != "plain" and self.headers.get("If-Range") == server.version:
            first = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.version:
            self.send_header("ETag", server.version)
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        rest = body[first:]
        self.wfile.write(rest[: len(rest) // 2] if step == "cut" else rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 1)
    served = Server()
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.release.set()
    served.shutdown()
    served.server_close()
    thread.join()


def fetch(server, path, *steps, size=SIZE, checksum=SHA):
    server.steps = list(steps)
    download(path, server.url, size, checksum, wait=0.001)
    return path.read_bytes()


HALF = SIZE // 2


@pytest.mark.parametrize(
    ("steps", "asked"),
    [
        (["ok"], [None]),
        (["500", "503", "429", "ok"], [None] * 4),
        (["cut", "cut", "ok"], [None, f"bytes={HALF}-", f"bytes={HALF * 3 // 2}-"]),
        (["cut", "500", "ok"], [None, f"bytes={HALF}-", f"bytes={HALF}-"]),
        (["cut", "plain"], [None, f"bytes={HALF}-"]),
        (["corrupt", "ok"], [None, None]),
        (["cut", "corrupt", "ok"], [None, f"bytes={HALF}-", None]),
        (["silent", "ok"], [None, None]),
    ],
)
def test_failures_are_tried_again_and_resumed(server, tmp_path, steps, asked):
    assert fetch(server, tmp_path / "new/x.fa.gz", *steps) == BODY
    assert server.asked == asked
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x.fa.gz"]


@pytest.mark.parametrize(
    ("steps", "options", "message", "tries"),
    [
        (["500"], {}, "failed 8 times, last: HTTP 500", 8),
        (["cut"], {}, "failed 8 times", 8),
        (["corrupt"], {}, "twice the same file, sha256 is .*, expected", 2),
        (["404"], {}, "HTTP 404", 1),
        (["ok"], {"size": 5}, f"the server has {SIZE} bytes, expected 5", 1),
    ],
)
def test_what_cannot_be_had_is_an_error_and_no_file(
    server, tmp_path, steps, options, message, tries
):
    path = tmp_path / "x.fa.gz"
    with pytest.raises(DownloadError, match=message) as caught:
        fetch(server, path, *steps, **options)
    assert server.url in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(server.asked) == tries
    assert not path.exists()


def test_no_server(tmp_path):
    with pytest.raises(DownloadError, match="failed 8 times"):
        download(tmp_path / "x", "http://127.0.0.1:9/x", wait=0.001)


def test_a_later_call_goes_on_where_the_last_one_stopped(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    path = tmp_path / "x.fa.gz"
    with pytest.raises(DownloadError):
        fetch(server, path, "cut")
    assert fetch(server, path, "ok") == BODY
    assert server.asked == [None, f"bytes={HALF}-"]


def test_a_new_version_is_not_joined_to_the_old_one(server, tmp_path):
    whole = fetch(server, tmp_path / "x", "cut", "other", checksum=None)
    assert whole == BODY[::-1]


def test_without_a_version_nothing_is_resumed(server, tmp_path):
    server.version = ""
    assert fetch(server, tmp_path / "x", "cut", "ok") == BODY
    assert server.asked == [None, None]


def test_unverified_files_log_their_digest(server, tmp_path, caplog):
    fetch(server, tmp_path / "x", "ok", size=None, checksum=None)
    assert f"not verified, no checksum in the config: {SHA}" in caplog.text


def test_bad_entries_are_named():
    config = {"run": "r", "modality": "rna", "corpus": {"fasta": ["a.fa"]}}
    config["downloads"] = {"a.fa": {"url": "ftp://x/a.fa", "checksum": "crc:1"}}
    with pytest.raises(ConfigError) as caught:
        load_config(config)
    assert "downloads.a.fa.url" in str(caught.value)
    assert "downloads.a.fa.checksum" in str(caught.value)


@pytest.mark.workflow
def test_the_rule_makes_a_named_fasta(server, tmp_path, run_rules):
    server.body = b"".join(b">r%d\n%s\n" % (i, b"ACGU" * (10 + i)) for i in range(20))
    server.steps = ["cut", "ok"]
    entry = {"url": server.url}
    config = {
        "run": "r",
        "modality": "rna",
        "corpus": {"fasta": ["data/x.fa"], "buckets": 1},
        "downloads": {"data/x.fa": entry},
    }
    target = "results/r/corpus/distinct/corpus/0.arrow"
    first = run_rules(config, target)
    assert first.returncode == 0, first.stderr[-3000:]
    assert (tmp_path / "data/x.fa").read_bytes() == server.body
    assert (tmp_path / target).exists()
    assert len(server.asked) == 2
    again = run_rules(config, target, "-n")
    assert "Nothing to be done" in again.stdout + again.stderr
    # What the log says, put into the config, fetches nothing again ...
    entry["size"] = len(server.body)
    entry["checksum"] = "md5:" + hashlib.md5(server.body).hexdigest()
    again = run_rules(config, target, "-n")
    assert "Nothing to be done" in again.stdout + again.stderr
    # ... and another file than it says stops the run before any job.
    wrong = run_rules(config | {"downloads": {"data/x.fa": entry | {"checksum": "md5:00"}}}, target)
    assert "downloads.data/x.fa.checksum: the file's is md5:" in wrong.stdout + wrong.stderr
    wrong = run_rules(config | {"downloads": {"data/x.fa": entry | {"size": 7}}}, target, "-n")
    assert f"has {len(server.body)} bytes, not 7" in wrong.stdout + wrong.stderr
    entry["url"] += "?version=2"  # another file by the same name: what reads it reruns, too
    changed = run_rules(config, target, "-n")
    planned = re.findall(r"rule (\w+):$", changed.stdout + changed.stderr, re.M)
    assert set(planned) == {"download", "ingest", "deduplicate"}
