"""The Pareto front of a plane: what costs more must score more."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(cost: ArrayLike, score: ArrayLike) -> NDArray[np.int64]:
    """Indices of the points that no other point beats (cost at most, score at least, one strictly).

    `cost` and `score` are (S,); the indices come in order of cost. Of equal points the first stands.
    Points whose score is not finite are left out.
    """
    costs, scores = np.asarray(cost, float), np.asarray(score, float)
    order = np.lexsort((np.arange(len(costs)), -scores, costs))
    order = order[np.isfinite(scores[order])]
    if not len(order):
        return order
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(scores[order])[:-1]])
    return order[scores[order] > best_before]
