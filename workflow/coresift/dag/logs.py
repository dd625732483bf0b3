"""The start of a job: logging to its file, errors to the terminal as well, and no slow imports."""

from __future__ import annotations

import gc
import logging
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType


def start(log: str) -> None:
    """Send log records and an uncaught error's traceback to `log`; errors also to stderr.

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

    def report(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        logging.getLogger(__name__).error(
            "failed\n%s", "".join(traceback.format_exception(kind, error, trace))
        )
        print(f"{kind.__name__}: {error}\nlog: {log}", file=sys.stderr)

    sys.excepthook = report
