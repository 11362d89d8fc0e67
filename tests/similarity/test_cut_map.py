"""The plane of cuts: what is alike lies together, the same table gives the same picture."""

import warnings

import numpy as np
import pandas as pd
import pytest

from dery_core.data import Probe
from dery_core.similarity import SimilarityTable
from dery_core.similarity.cut_map import cut_map


def table_of(values: np.ndarray, cuts: list[int]) -> SimilarityTable:
    models = np.cumsum(np.array(cuts) == 0)
    index = pd.DataFrame({"model": [f"m{i}" for i in models], "cut": cuts, "node": "n", "layout": "l"})
    for column in ("params", "macs"):
        index[column] = cuts
    return SimilarityTable(values, index, Probe("clutter", 16), "key")


def planar(count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Points of a plane and similarities whose angles are exactly their distances."""
    points = np.random.default_rng(0).uniform(0, 0.9, (count, 2))
    points[count // 2] = points[0]
    gaps = points[:, None] - points[None]
    distances = np.hypot(gaps[..., 0], gaps[..., 1])
    return distances, np.cos(distances)


CUTS = [*range(6), *range(6)]


def test_angles_that_fit_a_plane_are_drawn_as_they_are() -> None:
    distances, values = planar()
    found = cut_map(table_of(values, CUTS))
    gaps = found.points[:, None] - found.points[None]
    np.testing.assert_allclose(np.hypot(gaps[..., 0], gaps[..., 1]), distances, atol=1e-3)
    assert found.stress == pytest.approx(0, abs=1e-3)


def test_cuts_alike_in_all_respects_coincide() -> None:
    _, values = planar()
    points = cut_map(table_of(values, CUTS)).points
    np.testing.assert_allclose(points[6], points[0], atol=1e-9)
    np.testing.assert_allclose(points[0], 0, atol=1e-9)


def test_the_more_alike_the_nearer_where_the_plane_is_too_small() -> None:
    near, far = 0.9, 0.3
    values = np.full((12, 12), far)
    values[:6, :6] = values[6:, 6:] = near
    np.fill_diagonal(values, 1)
    found = cut_map(table_of(values, CUTS))
    gaps = found.points[:, None] - found.points[None]
    distances = np.hypot(gaps[..., 0], gaps[..., 1])
    assert distances[:6, :6].max() < distances[:6, 6:].min()
    assert found.stress > 0.1, "twelve points at equal distances don't fit a plane"


def test_the_same_table_gives_the_same_map_and_no_warning() -> None:
    # values below 0 among them
    values = np.asarray(np.corrcoef(np.random.default_rng(1).normal(size=(12, 5))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = (cut_map(table_of(values, CUTS)) for _ in range(2))
    assert np.array_equal(first.points, second.points)
    assert np.isfinite(first.points).all()


def test_paths_run_to_the_right() -> None:
    distances, values = planar()
    points = cut_map(table_of(values, CUTS)).points
    assert points[[5, 11]].mean(axis=0)[0] > 0
    assert points[[5, 11]].mean(axis=0)[1] == pytest.approx(0, abs=1e-9)
