from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dery_core.errors import DeryError
from dery_core.similarity import similarity_matrix, linear_cka

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
Floats = NDArray[np.float64]


def oracle(x: NDArray[np.generic], y: NDArray[np.generic]) -> float:
    """CKA by its definition: Frobenius products of doubly centred Gram matrices, in float64."""
    n = len(x)
    centre = np.eye(n) - np.ones((n, n)) / n
    k, m = (centre @ (z.astype(np.float64) @ z.astype(np.float64).T) @ centre for z in (x, y))
    return float((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()))


def features(count: int = 5, n: int = 30, offset: float = 0.0) -> list[Floats]:
    """Correlated features of different widths, some wider than there are images."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(n, 12))
    return [
        base @ rng.normal(size=(12, d)) + 0.5 * rng.normal(size=(n, d)) + offset
        for d in (3, 12, 29, 64, 100)[:count]
    ]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_matrix_equals_the_definition(dtype: type, offset: float) -> None:
    stack: list[NDArray[Any]] = [x.astype(dtype) for x in features(offset=offset)]
    matrix = similarity_matrix(stack)
    for i, x in enumerate(stack):
        for j, y in enumerate(stack):
            assert matrix[i, j] == pytest.approx(oracle(x, y), abs=1e-10)


def test_pair_equals_the_definition() -> None:
    x, _, y, *_ = features()
    assert linear_cka(x, y) == pytest.approx(oracle(x, y), abs=1e-10)


@pytest.mark.parametrize("rows", [1, 7, 29, 30])
def test_matrix_does_not_depend_on_the_memory_it_may_use(rows: int) -> None:
    stack = features()
    blocked = similarity_matrix(stack, memory=rows * 8 * 30 * len(stack))
    np.testing.assert_allclose(blocked, similarity_matrix(stack), atol=1e-13)


def test_matrix_is_symmetric_with_unit_diagonal_within_zero_and_one() -> None:
    matrix = similarity_matrix([x.astype(np.float32) for x in features()])
    assert matrix.dtype == np.float64
    assert (matrix == matrix.T).all()
    assert (np.diagonal(matrix) == 1).all()
    assert matrix.min() >= 0
    assert matrix.max() <= 1


def test_rotation_scale_and_shift_change_nothing() -> None:
    x, y = features()[2:4]
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(x.shape[1],) * 2))
    assert linear_cka(1e-6 * x @ rotation + 3e-6, y) == pytest.approx(linear_cka(x, y), abs=1e-10)
    assert linear_cka(x @ rotation, x) == pytest.approx(1, abs=1e-12)


def test_uneven_scaling_does_change_it() -> None:
    x, y = features()[2:4]
    assert abs(linear_cka(x * np.linspace(0.1, 10, x.shape[1]), y) - linear_cka(x, y)) > 0.01


def test_known_value_of_two_directions() -> None:
    # x varies along one direction, y along it and an uncorrelated one alike: 1 / (1 · √2)
    x = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    y = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert linear_cka(x, y) == pytest.approx(1 / np.sqrt(2))
    assert linear_cka(y[:, :1], y[:, 1:]) == pytest.approx(0)


def test_official_values_are_met() -> None:
    if not (SHARED / "bench" / "cka").is_dir():
        pytest.skip("../shared/bench/cka is not here")
    with np.load(SHARED / "bench/cka/features.npz") as data:
        resnet, mobilenet = (
            [data[key] for key in data.files if key.startswith(name)] for name in ("resnet18", "mobilenetv3")
        )
    matrix = similarity_matrix([*resnet, *mobilenet])
    r, m = slice(0, len(resnet)), slice(len(resnet), None)
    with np.load(SHARED / "bench/cka/official.npz") as official:
        # the official code works in float32, hence the coarser of the two tolerances
        for key, block in {"r18.mbv3": (r, m), "r18.r18": (r, r), "mbv3.mbv3": (m, m)}.items():
            np.testing.assert_allclose(matrix[block], official[f"cka/{key}"], atol=1e-5)
        np.testing.assert_allclose(matrix[r, m], official["cka64/r18.mbv3"], atol=1e-10)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.full((30, 4), np.nan), "NaN or infinite"),
        (np.full((30, 4), np.inf), "NaN or infinite"),
        (np.ones((30, 4)), "same for every image"),
        (np.full((30, 4), 0.1, np.float32), "same for every image"),
        (np.zeros((30, 4)), "same for every image"),
        (np.random.default_rng(0).normal(size=(29, 4)), "29 images"),
        (np.random.default_rng(0).normal(size=(3, 4)), "at least 4"),
        (np.zeros(30), "matrix"),
        (np.zeros((30, 0)), "matrix"),
    ],
)
def test_bad_features_are_named(bad: Floats, words: str) -> None:
    with pytest.raises(DeryError, match=words) as error:
        similarity_matrix([features()[0], bad], names=["fine", "culprit"])
    assert "culprit" in str(error.value)


def test_small_variation_over_a_large_mean_is_not_called_constant() -> None:
    x = 1000 + 0.01 * features()[1]
    assert linear_cka(x, x - 1000) == pytest.approx(1, abs=1e-9)
