"""Settings of what the workflow needs of the machine: downloads."""

from __future__ import annotations

from pydantic import Field

from coresift.settings import Positive, Section


class Download(Section):
    """Where a file comes from and what it must be."""

    url: str = Field(pattern=r"^https?://", description="address")
    size: Positive | None = Field(None, description="bytes; default: what the server says")
    checksum: str | None = Field(
        None,
        pattern=r"^(md5|sha1|sha256|sha512):[0-9a-f]+$",
        description="name:hex digits; default: not verified, the log shows the SHA-256",
    )
