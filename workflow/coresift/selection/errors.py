"""Errors of selection."""


class SelectionError(ValueError):
    """A coreset cannot be drawn; the message says why and what to change."""
