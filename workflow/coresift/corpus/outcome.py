"""What became of the records of FASTA files, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coresift.files import read_json

#: Files that a text names, those with the most rejects first.
NAMED = 20


def judged_text(records: int, items: int) -> str:
    """How many were judged: records, or records and windows."""
    return f"{items} records" + (" and windows" if items != records else "")


def long_text(long: Mapping[str, Any]) -> str:
    """What became of records above the greatest length (of `windows.LongRecords.report`)."""
    if not long["windows"]:
        return f"{long['records']} records above max_length"
    text = f"{long['records']} records above max_length are {long['windows']} windows"
    cropped = f", {long['cropped']} residues cropped" if long["cropped"] else ""
    return text + cropped


def counts_text(report: Mapping[str, Any]) -> str:
    """Records of a file: accepted, and rejected by reason; and those that are long."""
    reasons = [f"{count} {reason}" for reason, count in report["rejected"].items()]
    rejected = f", rejected: {', '.join(reasons)}" if reasons else ""
    judged = judged_text(report["records"], report["items"])
    long = f"; {long_text(report['long'])}" if report["long"]["records"] else ""
    return f"{report['accepted']} of {judged} accepted{rejected}{long}"


def shortage(ingest_reports: Sequence[str | Path]) -> str:
    """Why a pool is small: what its files gave, and the first reject of each reason."""
    lines = [
        "What is accepted and not in it: duplicates, not sampled, close to tasks' examples, or "
        "held out (heldout.share)."
    ]
    reports = sorted(map(read_json, ingest_reports), key=lambda r: r["accepted"] - r["items"])
    for report in reports[:NAMED]:
        lines.append(f"{report['path']}: {counts_text(report)}")
        lines += [f"  {reason}: {first}" for reason, first in report["first_rejected"].items()]
    return "\n".join(lines)
