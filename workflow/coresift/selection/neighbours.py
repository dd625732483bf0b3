"""Greedy orders of one cell of embeddings: similar pairs, facility location, k-centres, D2.

Rows of a cell come by hash rank, and every tie goes to the earlier row. Cells are small (settings:
`selection.embedding.cell_rows`), so what is quadratic here is linear in the pool.
"""

from __future__ import annotations

import heapq

import numpy as np

from coresift.selection.cells import CHUNK


def nearest_before(units: np.ndarray) -> np.ndarray:
    """(m,) float32 largest cosine of each row with a row that SemDeDup would keep before it.

    SemDeDup (Abbas et al. 2023, section 3 and the published code): rows by falling distance to
    the cell's centroid; a row goes when its largest cosine with an *earlier* row, itself kept or
    not, is above the threshold, so of a group of duplicates the one farthest out stays. -2 for the
    first row, below every cosine. Time O(m^2 d), memory 1024 x m.

    Args:
        units: (m, d) float32 unit vectors.
    """
    centroid = units.sum(0, dtype=np.float64)
    order = np.argsort(units @ centroid, kind="stable")  # least like the centroid first
    ordered = units[order]
    largest = np.full(len(units), -2, np.float32)
    for start in range(0, len(units), CHUNK):
        block = ordered[start : start + CHUNK]
        cosines = block @ ordered[: start + len(block)].T
        later = np.arange(cosines.shape[1]) >= start + np.arange(len(block))[:, None]
        cosines[later] = -2
        largest[start : start + len(block)] = cosines.max(1)
    found = np.empty_like(largest)
    found[order] = largest
    return found


def farthest_first(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of the rows, each the farthest from those before it, and that squared distance.

    Greedy k-centre (Gonzalez 1985; Sener & Savarese 2018, algorithm 1): within twice the best
    radius for every prefix. The first row is the first given, its distance infinite. Time
    O(m^2 d), memory O(m).

    Args:
        units: (m, d) float32 vectors.

    Returns:
        (m,) int64 order and (m,) float32 squared Euclidean distances, which only fall.
    """
    squares = np.einsum("ij,ij->i", units, units)
    distances = np.full(len(units), np.inf, np.float32)
    order, radii = np.empty(len(units), np.int64), np.empty(len(units), np.float32)
    for i in range(len(units)):
        row = int(distances.argmax())
        order[i], radii[i] = row, distances[row]
        apart = squares + (squares[row] - 2 * (units @ units[row]))
        np.minimum(distances, np.maximum(apart, 0), out=distances)
        distances[row] = -1  # taken
    return order, radii


def nearest_neighbours(units: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k most similar other rows of each row (all others where there are fewer).

    Args:
        units: (m, d) float32 unit vectors.

    Returns:
        (m, k) int64 rows and (m, k) float32 cosines, exact, the most similar first.
    """
    import faiss  # here, so that a selection without embeddings starts without it

    k = min(k, len(units) - 1)
    cosines, rows = faiss.knn(units, units, k + 1, metric=faiss.METRIC_INNER_PRODUCT)
    # A row is not its own neighbour; among equal rows it may not even be in its list.
    own = rows == np.arange(len(units))[:, None]
    own[~own.any(1), -1] = True
    shape = (len(units), k)
    return rows[~own].reshape(shape), cosines[~own].reshape(shape)


def on_grid(cosines: np.ndarray) -> np.ndarray:
    """float64 multiples of 2^-20 near the cosines, whose sums do not depend on their order."""
    return np.round(cosines.astype(np.float64) * 2**20) / 2**20


def facility_location(units: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Order of the rows by greedy facility location on the kNN graph, and each one's gain.

    f(S) = sum_i max_{j in S} s_ij, s_ij = max(0, cosine) where j is i or one of its k nearest
    neighbours, else 0 (Mirzasoleiman et al. 2015, CRAIG 2020, on a sparse graph); lazy greedy
    (Minoux 1978): f is submodular, so a gain found earlier bounds the gain now, and only the top
    of a heap is found again. Within 1 - 1/e of the best f for every prefix. Time O(m^2 d) for the
    graph and O(m k log m) steps usual; memory O(m k).

    Args:
        units: (m, d) float32 unit vectors.
        k: neighbours.

    Returns:
        (m,) int64 order and (m,) float64 gains, which only fall.
    """
    m = len(units)
    neighbours, cosines = nearest_neighbours(units, k)
    facilities = np.hstack((np.arange(m)[:, None], neighbours)).ravel()
    # On a grid sums are exact: a pair that covers each other is a tie, as it should be.
    values = np.hstack((np.ones((m, 1)), np.maximum(on_grid(cosines), 0))).ravel()
    by_facility = np.argsort(facilities, kind="stable")
    clients = np.repeat(np.arange(m), neighbours.shape[1] + 1)[by_facility]
    values = values[by_facility]
    starts = np.searchsorted(facilities[by_facility], np.arange(m + 1)).tolist()
    covered = np.zeros(m)

    def gain(j: int) -> float:
        here = slice(starts[j], starts[j + 1])
        return float(np.maximum(values[here] - covered[clients[here]], 0).sum())

    heap = [(-gain(j), j) for j in range(m)]
    heapq.heapify(heap)
    order, gains = np.empty(m, np.int64), np.empty(m)
    for i in range(m):
        while True:
            _, j = heapq.heappop(heap)
            entry = (-gain(j), j)
            if not heap or entry <= heap[0]:
                break
            heapq.heappush(heap, entry)
        order[i], gains[i] = j, -entry[0]
        here = slice(starts[j], starts[j + 1])
        covered[clients[here]] = np.maximum(covered[clients[here]], values[here])
    return order, gains


def message_passing(
    units: np.ndarray, scores: np.ndarray, k: int, forward: float, reverse: float
) -> tuple[np.ndarray, np.ndarray]:
    """Order of the rows by D2 pruning, and each one's value when it was taken.

    Maharana et al. 2023, section 3, with the edges of the published code: an undirected kNN graph
    with Euclidean distances d. Forward: x_i = s_i + sum_{j in N(i)} exp(-forward d_ij) s_j. Then,
    again and again, the row of largest x_i is taken and takes from its neighbours what it stands
    for: x_j -= exp(-reverse d_ij) x_i. Time O(m^2 d) for the graph and O(m (m + k)) for the
    order; memory O(m k).

    Args:
        units: (m, d) float32 unit vectors.
        scores: (m,) float64 difficulties s, not negative.
        k: neighbours.
        forward, reverse: gamma_f and gamma_r.

    Returns:
        (m,) int64 order and (m,) float64 values; they fall while they are positive.
    """
    m = len(units)
    neighbours, cosines = nearest_neighbours(units, k)
    here, there = np.repeat(np.arange(m), neighbours.shape[1]), neighbours.ravel()
    apart = np.sqrt(np.maximum(2 - 2 * cosines.ravel().astype(np.float64), 0))
    pairs = np.minimum(here, there) * m + np.maximum(here, there)
    pairs, first = np.unique(pairs, return_index=True)
    a, b = np.divmod(pairs, m)
    here, there = np.concatenate((a, b)), np.concatenate((b, a))
    apart = np.tile(apart[first], 2)
    by_row = np.lexsort((there, here))
    here, there, apart = here[by_row], there[by_row], apart[by_row]
    starts = np.searchsorted(here, np.arange(m + 1)).tolist()
    messages = np.exp(-forward * apart) * scores[there]
    values = scores + np.bincount(here, messages, m)
    weights = np.exp(-reverse * apart)
    order, taken = np.empty(m, np.int64), np.empty(m)
    for i in range(m):
        row = int(values.argmax())
        order[i], taken[i] = row, values[row]
        edges = slice(starts[row], starts[row + 1])
        values[there[edges]] -= weights[edges] * values[row]
        values[row] = -np.inf
    return order, taken
