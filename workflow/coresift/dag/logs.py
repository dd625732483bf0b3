"""The start of a job: logging to its file, warnings and errors to the terminal as well."""

from __future__ import annotations

import gc
import logging
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType


def start(log: str) -> None:
    """Send log records and an uncaught error's traceback to `log`.

    Warnings of coresift's own modules, and the error without its traceback, go to stderr as well.

    Model and data hubs are never asked: nothing a job needs is downloaded.
    """
    # Imports make many objects and no garbage: looking for it takes a tenth of a job's start.
    gc.set_threshold(100_000)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=log,
        filemode="w",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    # It looks for builds for newer processors, and says of each that it could not be loaded.
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    terminal.setFormatter(logging.Formatter(f"{Path(log).stem}: %(levelname)s: %(message)s"))
    # In place of what an earlier start added: a message is shown once.
    logging.getLogger("coresift").handlers = [terminal]

    def report(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        logging.getLogger().error("failed\n%s", text)  # not one of our own: for the file alone
        print(f"{kind.__name__}: {error}\nlog: {log}", file=sys.stderr)

    sys.excepthook = report
