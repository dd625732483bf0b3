"""Files from the web: resumed, verified, and under their final name only when whole."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path

import requests
import tenacity
import urllib3

from coresift.files import write_text

logger = logging.getLogger(__name__)

#: Tries in all, each going on where the last one stopped.
ATTEMPTS = 8
#: Seconds without a byte after which a try is given up.
TIMEOUT = 60
_CHUNK = 1 << 20
#: HTTP answers that may differ next time: time-out, too many requests, server errors.
_PASSING = {408, 429, *range(500, 600)}


class DownloadError(RuntimeError):
    """The file cannot be had as configured; the message names the address, path and cause."""


class _Interrupted(Exception):
    """A try that failed and may succeed next time."""


_TRY_AGAIN = (
    _Interrupted,
    requests.ConnectionError,
    requests.Timeout,
    urllib3.exceptions.HTTPError,
)


def download(
    path: str | Path,
    url: str,
    size: int | None = None,
    checksum: str | None = None,
    wait: float = 1.0,
) -> None:
    """Fetch `url` into `path`.

    The bytes gather in a hidden file beside `path` that survives a kill; a later call goes on from
    there if the server still has the same version (its ETag, or its Last-Modified).

    Args:
        size: expected bytes.
        checksum: expected digest, `sha256:...` or any name hashlib knows. Without one, the log
            shows the SHA-256, to be put into the config.
        wait: seconds before the second try, doubled before each next one, up to a minute.

    Raises:
        DownloadError: wrong size, twice the same file with a wrong checksum, a refusal (HTTP 4xx),
            or no success in `ATTEMPTS`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _Partial(path)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_TRY_AGAIN),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential(multiplier=wait, max=60),
        before_sleep=tenacity.before_sleep_log(logger, logging.WARNING),
        reraise=True,
    )
    try:
        retrying(_try, partial, url, size, checksum)
    except _TRY_AGAIN as error:
        raise DownloadError(f"{url} -> {path}: failed {ATTEMPTS} times, last: {error}") from error
    partial.finish()


class _Partial:
    """The unfinished file, and the server's name for the version it is part of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.parent / f".{path.name}.part"
        self._version = path.parent / f".{path.name}.part.version"
        self.wrong: set[str] = set()  # checksums of whole files that were not the expected one

    def held(self) -> int:
        """Bytes that are here."""
        return self.data.stat().st_size if self.data.exists() else 0

    def range_headers(self) -> dict[str, str]:
        """Headers that ask for the rest of the same version, or for all of it."""
        if self.held() and self._version.exists():
            return {"Range": f"bytes={self.held()}-", "If-Range": self._version.read_text()}
        return {}

    def restart(self, response: requests.Response | None = None) -> None:
        """Drop the bytes; the next ones are of the version that `response` names."""
        self.data.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)
        headers = response.headers if response is not None else {}
        version = headers.get("ETag", "")
        if not version or version.startswith("W/"):  # a weak tag does not promise equal bytes
            version = headers.get("Last-Modified", "")
        if version:
            write_text(self._version, version)

    def finish(self) -> None:
        """Give the file its name."""
        os.replace(self.data, self.path)
        self._version.unlink(missing_ok=True)


def _try(partial: _Partial, url: str, size: int | None, checksum: str | None) -> None:
    """One try: fetch what is missing, then verify."""
    if size is None or partial.held() != size:
        _fetch(partial, url, size)
    _verify(partial, url, checksum)


def _fetch(partial: _Partial, url: str, size: int | None) -> None:
    # identity: the bytes as they are stored, not compressed once more on the way.
    headers = {"Accept-Encoding": "identity", **partial.range_headers()}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # nothing after what is held: not the file it was
            partial.restart()
            raise _Interrupted(f"HTTP 416 for {headers.get('Range')}")
        if response.status_code in _PASSING:
            raise _Interrupted(f"HTTP {response.status_code} {response.reason}")
        if not response.ok:
            raise DownloadError(
                f"{url} -> {partial.path}: HTTP {response.status_code} {response.reason}"
            )
        start = f"bytes {partial.held()}-"
        if response.status_code != 206 or not response.headers.get("Content-Range", "").startswith(
            start
        ):
            partial.restart(response)
        length = response.headers.get("Content-Length")
        total = partial.held() + int(length) if length is not None else size
        if size is not None and total != size:
            partial.restart()
            raise DownloadError(
                f"{url} -> {partial.path}: the server has {total} bytes, expected {size}"
            )
        _store(partial, response, total, url)
    if total is not None and partial.held() != total:
        raise _Interrupted(f"ended at {partial.held()} of {total} bytes")


def _store(partial: _Partial, response: requests.Response, total: int | None, url: str) -> None:
    """Append the body to the partial file, and log progress."""
    held = first = partial.held()
    start = shown = time.monotonic()
    with partial.data.open("ab") as handle:
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            handle.write(chunk)
            held += len(chunk)
            now = time.monotonic()
            if now - shown > 10:
                shown, rate = now, (held - first) / (now - start)
                left = (
                    f"{(total - held) / rate:.0f} s left" if total is not None else "size unknown"
                )
                logger.info("%s: %d MB, %.1f MB/s, %s", url, held >> 20, rate / 2**20, left)


def _verify(partial: _Partial, url: str, checksum: str | None) -> None:
    name, expected = checksum.split(":") if checksum else ("sha256", None)
    with partial.data.open("rb") as handle:
        found = hashlib.file_digest(handle, name).hexdigest()
    if expected is None:
        logger.warning("%s: not verified, no checksum in the config: sha256:%s", url, found)
    elif found != expected:
        partial.restart()
        said = f"{name} is {found}, expected {expected}"
        if found in partial.wrong:  # no accident of the way here
            raise DownloadError(f"{url} -> {partial.path}: twice the same file, {said}")
        partial.wrong.add(found)
        raise _Interrupted(said)
    logger.info("%s: %d bytes, %s:%s", url, partial.held(), name, found)
