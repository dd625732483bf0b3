"""The probability from which on a pair of residues is predicted, where valid chooses it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from coresift.tasks.sample import Sample

#: What is tried on valid, the metrics' own first.
THRESHOLDS = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05)


def moved(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Probabilities in the same order, `threshold` moved to the 0.5 at which the metrics cut."""
    below = 0.5 * probabilities / threshold
    above = 0.5 + 0.5 * (probabilities - threshold) / (1 - threshold)
    return np.where(probabilities <= threshold, below, above)


def cut_at(sample: Sample, threshold: float) -> Sample:
    """A sample of probabilities whose pairs are those above `threshold`."""
    return replace(sample, predictions=moved(sample.predictions, threshold))
