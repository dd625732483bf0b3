"""Settings of the page."""

from __future__ import annotations

from pydantic import Field

from coresift.settings import Positive, Section


class Report(Section):
    """What the page shows."""

    embedding_size: Positive = Field(2000, description="pool sequences in the map of embeddings")
