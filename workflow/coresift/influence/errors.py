"""Errors of scoring."""


class ScoreError(ValueError):
    """A sequence has a NaN or infinite score, or none; the message names it."""
