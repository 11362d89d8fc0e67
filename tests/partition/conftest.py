"""Small synthetic tables shaped like real ones: networks that drift from a common input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from dery_core.data import TARGET_TASK, Probe
from dery_core.similarity import SimilarityTable, similarity_matrix


@dataclass(frozen=True)
class Arrays:
    """What the solver takes: `similarity` (M, M), and model, cut and size of every row."""

    similarity: NDArray[np.float64]
    model: NDArray[np.int64]
    cut: NDArray[np.int64]
    size: NDArray[np.float64]
    names: tuple[str, ...]

    def cumulative(self, model: int) -> NDArray[np.float64]:
        return self.size[self.model == model]


def make_arrays(nodes: Sequence[int], seed: int = 0, images: int = 24) -> Arrays:
    """Networks with so many nodes; sizes grow with depth, as params do."""
    rng = np.random.default_rng(seed)
    picture = rng.normal(size=(images, 8))
    shared = [rng.normal(size=(images, 8)) for _ in range(4)]
    features, sizes = [], []
    for count in nodes:
        features.append(picture)
        for cut in range(1, count + 1):
            depth = 3 * cut / count
            low, part = int(min(depth, 2)), depth - int(min(depth, 2))
            common = (1 - part) * shared[low] + part * shared[low + 1]
            features.append(common + 0.4 * rng.normal(size=(images, 8)))
        sizes.append(np.cumsum([0, *(rng.integers(1, 10, count) * np.arange(1, count + 1))]))
    return Arrays(
        similarity_matrix(features),
        np.repeat(np.arange(len(nodes)), np.add(nodes, 1)),
        np.concatenate([np.arange(count + 1) for count in nodes]),
        np.concatenate(sizes).astype(np.float64),
        tuple(f"m{i}" for i in range(len(nodes))),
    )


@pytest.fixture
def arrays() -> Callable[..., Arrays]:
    return make_arrays


@pytest.fixture
def table() -> SimilarityTable:
    """Four models of 6 to 9 nodes; MACs fall with depth where params grow."""
    made = make_arrays((6, 7, 8, 9))
    macs = np.concatenate(
        [np.cumsum([0, *np.diff(made.cumulative(i))[::-1]]) for i in range(len(made.names))]
    )
    index = pd.DataFrame(
        {
            "model": np.array(made.names)[made.model],
            "cut": made.cut,
            "node": [f"n{cut - 1}" if cut else "input" for cut in made.cut],
            "layout": "8 × 4×4",
            "params": made.size.astype(np.int64),
            "macs": macs.astype(np.int64),
            "weights": np.array([f"weights of {name}" for name in made.names])[made.model],
        }
    )
    return SimilarityTable(made.similarity, index, Probe(TARGET_TASK, 24), "key of the table")
