"""All cuts of a similarity table as points of the plane, near where they are alike."""

from dataclasses import dataclass

import numpy as np
from sklearn.manifold import MDS

from dery_core.similarity.gram import Floats, Ints
from dery_core.similarity.table import SimilarityTable


@dataclass(frozen=True, eq=False)
class CutMap:
    """`points` (M, 2) in radians, one a row of the table, the image at the origin; the networks' last
    cuts lie, taken together, to its right.

    `stress` is Kruskal's stress-1: how much of the distances the plane can't show, 0 where it shows
    all. Above 0.2 it is a sketch.
    """

    points: Floats
    stress: float


def cut_map(table: SimilarityTable) -> CutMap:
    """Metric multidimensional scaling of the angles arccos(similarity) between all cuts.

    Similarities below 0 (unbiased CKA has such) count as 0, a right angle. Begins at classical
    scaling, so nothing is drawn by chance; cuts that are alike in all respects coincide.
    """
    angles = np.arccos(np.clip(table.values, 0, 1))
    np.fill_diagonal(angles, 0)
    scaling = MDS(metric="precomputed", n_init=1, init="classical_mds", normalized_stress=True)
    points = _turned(scaling.fit_transform(angles), table.index["cut"].to_numpy())
    return CutMap(points, float(scaling.stress_))


def _turned(points: Floats, cuts: Ints) -> Floats:
    """The same figure with cut 0 at the origin and the mean of the last cuts to its right.

    The distances leave turning open; so a path reads from left to right.
    """
    last = np.append(cuts[1:] == 0, True)
    centred = points - points[cuts == 0].mean(axis=0)
    x, y = centred[last].mean(axis=0)
    length = np.hypot(x, y)
    if length == 0:
        return centred
    return centred @ np.array([[x, -y], [y, x]]) / length
