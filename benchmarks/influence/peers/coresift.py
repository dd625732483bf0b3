"""coresift's engine, as the score rule runs it."""

from collections.abc import Callable

import numpy as np
from coresift.influence.fisher import Fisher, inverse_curvature
from workload import CPU, Workload, mixture


def prepare(workload: Workload, parameters: str, loss: str) -> Callable[[], np.ndarray]:
    engine = workload.engine(parameters, loss)
    frame = workload.frame()
    subset = mixture(frame, workload.subset)
    fisher = Fisher(engine.fisher_sums(subset), subset.height, {})
    curvature = inverse_curvature(fisher, engine.settings, CPU)

    def run() -> np.ndarray:
        scores = np.empty(frame.height)
        for rows, batch in engine.stream(frame):
            scores[rows] = engine.score_batch(batch, {"": curvature})[""]["influence"].to_numpy()
        return scores

    return run
