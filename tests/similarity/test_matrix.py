import tracemalloc
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray

from dery_core.data import TARGET_TASK, Probe, probe_images
from dery_core.errors import Cancelled, DeryError
from dery_core.progress import Progress
from dery_core.similarity import MEASURES, Comparison, cut_features, similarity_matrix
from dery_core.zoo import embedded_zoo, zoo_line_graph

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
Floats = NDArray[np.float64]

PLAIN = [Comparison(name) for name in MEASURES]  # type: ignore[arg-type]
UNBIASED = [Comparison("cka", unbiased=True), Comparison("rbf-cka", unbiased=True)]
# of 30 images batches of 10, and of 7 and 8
STREAMED = [Comparison(unbiased=True, batch=batch) for batch in (10, 9)]
ALL = [*PLAIN, *UNBIASED, *STREAMED]
each = pytest.mark.parametrize("comparison", ALL, ids=lambda comparison: comparison.title)


# Every measure by its definition, one pair at a time, with no thought of speed.


def oracle(comparison: Comparison, x: NDArray[Any], y: NDArray[Any]) -> float:
    x, y = (z.astype(np.float64) - z.astype(np.float64).mean(axis=0) for z in (x, y))
    if comparison.measure == "regression":
        return (explained(x, y) + explained(y, x)) / 2
    if comparison.measure == "svcca":
        correlations = np.linalg.svd(main_directions(x).T @ main_directions(y), compute_uv=False)
        return float(np.square(correlations).mean())
    if comparison.measure == "procrustes":
        return float(np.linalg.norm(x.T @ y, "nuc") / np.linalg.norm(x) / np.linalg.norm(y))
    kernel = rbf if comparison.measure == "rbf-cka" else linear
    hsic = hsic_unbiased if comparison.unbiased else hsic_biased
    count = 1 if comparison.batch is None else -(-len(x) // comparison.batch)
    parts = np.split(np.arange(len(x)), np.arange(1, count) * len(x) // count)

    def summed(a: Floats, b: Floats) -> float:
        return sum(hsic(kernel(a[part]), kernel(b[part])) for part in parts)

    return float(summed(x, y) / np.sqrt(summed(x, x) * summed(y, y)))


def linear(x: Floats) -> Floats:
    return x @ x.T


def rbf(x: Floats) -> Floats:
    distances = np.array([np.square(x - row).sum(axis=1) for row in x])
    return np.exp(-distances / 2 / np.sort(distances.ravel())[(distances.size - 1) // 2])


def hsic_biased(k: Floats, m: Floats) -> float:
    centre = np.eye(len(k)) - 1 / len(k)
    return float(np.trace(k @ centre @ m @ centre))


def hsic_unbiased(k: Floats, m: Floats) -> float:
    """HSIC_1 as Song et al. 2012 write it (equation 5), by traces and sums."""
    n, ones = len(k), np.ones(len(k))
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    third = 2 / (n - 2) * ones @ k @ m @ ones
    return (
        float(np.trace(k @ m) + ones @ k @ ones * (ones @ m @ ones) / (n - 1) / (n - 2) - third) / n / (n - 3)
    )


def explained(x: Floats, y: Floats) -> float:
    """R² of y given x by least squares."""
    solution = np.linalg.lstsq(x, y, rcond=1e-6)[0]
    return float(1 - np.square(y - x @ solution).sum() / np.square(y).sum())


def main_directions(x: Floats) -> Floats:
    directions, sizes, _ = np.linalg.svd(x, full_matrices=False)
    count = next(k for k in range(1, len(x)) if np.square(sizes[:k]).sum() >= 0.99 * np.square(sizes).sum())
    return directions[:, :count]


def assert_agrees(features: list[NDArray[Any]], comparison: Comparison, tolerance: float) -> None:
    matrix = similarity_matrix(features, comparison)
    for i, j in combinations(range(len(features)), 2):
        assert matrix[i, j] == pytest.approx(oracle(comparison, features[i], features[j]), abs=tolerance)


def made_features(n: int = 30, offset: float = 0.0) -> list[Floats]:
    """Correlated features of different widths, some wider than there are images."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(n, 12))
    return [
        base @ rng.normal(size=(12, d)) + 0.5 * rng.normal(size=(n, d)) + offset for d in (3, 12, 25, 64, 100)
    ]


@each
def test_matrix_equals_the_definition(comparison: Comparison) -> None:
    assert_agrees(made_features(), comparison, 1e-10)


@each
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_numbers_around_a_large_mean_are_compared_as_exactly(
    comparison: Comparison, dtype: type
) -> None:
    # 200 with a deviation of about 3: float16 has steps of 1/8 there
    assert_agrees([x.astype(dtype) for x in made_features(offset=200)], comparison, 1e-9)


@each
def test_tiny_variation_is_compared_as_exactly(comparison: Comparison) -> None:
    features = [1 + 1e-5 * x for x in made_features()]
    np.testing.assert_allclose(
        similarity_matrix(features, comparison), similarity_matrix(made_features(), comparison), atol=1e-7
    )
    np.testing.assert_allclose(
        similarity_matrix([1e-30 * x for x in made_features()], comparison),
        similarity_matrix(made_features(), comparison),
        atol=1e-10,
    )


@pytest.fixture(scope="module")
def network_features() -> list[NDArray[np.float32]]:
    """Features of two pretrained networks, and of two of timm with random weights, on 60 images."""
    zoo, images = embedded_zoo(), probe_images(Probe(TARGET_TASK, 60))
    features = []
    for name in ("resnet_s.clutter", "vit.clutter"):
        features += cut_features(zoo_line_graph(zoo, name), zoo.model(name), images)[1::3]
    for name in ("resnet18", "mobilenetv3_small_100"):
        features += list(random_features(name))
    return features


def random_features(name: str) -> Iterator[NDArray[np.float32]]:
    """What hooks see of a network with random weights: means over the grid, large beside their spread."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(name).eval()
        images = torch.rand(60, 3, 64, 64)
    seen: list[NDArray[np.float32]] = []
    blocks = dict(network.named_modules())
    for block in ("layer1.0", "layer4.1", "blocks.0.0", "blocks.4.1"):
        if block in blocks:
            blocks[block].register_forward_hook(
                lambda module, given, out: seen.append(out.mean((2, 3)).numpy())
            )
    with torch.no_grad():
        network(images)
    return iter(seen)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_features_of_networks_agree_with_the_definition(
    network_features: list[NDArray[np.float32]], comparison: Comparison, dtype: type
) -> None:
    # Spread out before they become float16: at their own scale some would all be the same number.
    features = [(x / x.std(axis=0).max()).astype(dtype) for x in network_features]
    assert_agrees(features, comparison, 1e-5)


@each
def test_matrix_is_symmetric_with_unit_diagonal_and_in_range(comparison: Comparison) -> None:
    matrix = similarity_matrix([x.astype(np.float32) for x in made_features()], comparison)
    assert matrix.dtype == np.float64
    assert (matrix == matrix.T).all()
    assert (np.diagonal(matrix) == 1).all()
    assert matrix.min() >= (-1 if comparison.unbiased else 0)
    assert matrix.max() <= 1


@each
def test_rotation_scale_and_shift_change_nothing(comparison: Comparison) -> None:
    x, y = made_features()[1:3]
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(x.shape[1],) * 2))
    matrix = similarity_matrix([x, y, 1e-6 * x @ rotation + 3e-6], comparison)
    assert matrix[1, 2] == pytest.approx(matrix[0, 1], abs=1e-9)
    assert matrix[0, 2] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", ["cka", "rbf-cka", "procrustes"])
def test_uneven_scaling_does_change_it(name: Any) -> None:
    x, y = made_features()[1:3]
    matrix = similarity_matrix([x, y, x * np.linspace(0.1, 10, x.shape[1])], Comparison(name))
    assert abs(matrix[0, 1] - matrix[1, 2]) > 0.01


def test_known_value_of_two_directions() -> None:
    # x varies along one direction, y along it and an uncorrelated one alike: 1 / (1 · √2)
    x = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    y = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    stack = [x, y, y[:, 1:]]
    assert similarity_matrix(stack)[0, 1:] == pytest.approx([1 / np.sqrt(2), 0])
    # y predicts x, x half of y
    assert similarity_matrix(stack, Comparison("regression"))[0, 1] == pytest.approx(3 / 4)
    assert similarity_matrix(stack, Comparison("svcca"))[0, 1] == pytest.approx(1)
    assert similarity_matrix(stack, Comparison("procrustes"))[0, 1] == pytest.approx(1 / np.sqrt(2))


@pytest.mark.parametrize("name", ["regression", "svcca"])
def test_features_as_wide_as_images_saturate_as_the_measure_says(name: Any) -> None:
    rng = np.random.default_rng(0)
    wide = [rng.normal(size=(20, 500)) for _ in range(2)]
    assert similarity_matrix(wide, Comparison(name))[0, 1] > 0.95
    assert similarity_matrix(wide, Comparison(unbiased=True))[0, 1] < 0.2


@pytest.fixture
def official() -> Callable[[str], tuple[list[NDArray[np.float32]], dict[str, Floats]]]:
    if not (SHARED / "bench" / "cka").is_dir():
        pytest.skip("../shared/bench/cka is not here")

    def load(prefix: str) -> tuple[list[NDArray[np.float32]], dict[str, Floats]]:
        with np.load(SHARED / "bench/cka/features.npz") as data:
            features = [data[key] for key in data.files if "/" in key]
        with np.load(SHARED / "bench/cka/official.npz") as data:
            return features, {key: data[key] for key in data.files if key.startswith(prefix)}

    return load


@pytest.mark.parametrize(
    ("name", "prefix", "tolerance"),
    # the official code works in float32, hence the coarser tolerance where it isn't in float64
    [("cka", "cka/", 1e-5), ("cka", "cka64/", 1e-10), ("rbf-cka", "rbf_cka/", 1e-5)],
)
def test_official_values_are_met(official: Any, name: Any, prefix: str, tolerance: float) -> None:
    features, expected = official(prefix)
    matrix = similarity_matrix(features, Comparison(name))
    rows = {"r18": slice(0, 8), "mbv3": slice(8, None)}
    assert expected
    for key, block in expected.items():
        first, second = key.removeprefix(prefix).split(".")
        np.testing.assert_allclose(matrix[rows[first], rows[second]], block, atol=tolerance)


@pytest.mark.parametrize(("images", "batch"), [(9, 8), (11, 8), (11, 9)])
def test_unbiased_form_is_independent_of_the_batch_size(images: int, batch: int) -> None:
    # HSIC_1 is a U-statistic: over all subsets of the images, whatever their size, it is on average
    # exactly itself. So batches that are all those subsets must say what all images at once say.
    features = [x[:images] for x in made_features()]
    subsets = np.concatenate(list(combinations(range(images), batch)))
    streamed = similarity_matrix([x[subsets] for x in features], Comparison(unbiased=True, batch=batch))
    whole = similarity_matrix(features, Comparison(unbiased=True))
    np.testing.assert_allclose(streamed, whole, atol=1e-10)


def test_streaming_all_images_in_one_batch_changes_nothing() -> None:
    features = made_features()
    np.testing.assert_allclose(
        similarity_matrix(features, Comparison(unbiased=True, batch=30)),
        similarity_matrix(features, Comparison(unbiased=True)),
        atol=1e-12,
    )


@pytest.mark.parametrize("name", ["cka", "rbf-cka"])
@pytest.mark.parametrize("batch", [30, 45])
def test_batches_of_the_same_images_say_what_one_of_them_says(name: Any, batch: int) -> None:
    features = made_features()
    if batch == 45:
        features = [np.concatenate([x, x[:15]]) for x in features]
    often = [np.concatenate([x] * 4) for x in features]
    np.testing.assert_allclose(
        similarity_matrix(often, Comparison(name, unbiased=True, batch=batch)),
        similarity_matrix(features, Comparison(name, unbiased=True)),
        atol=1e-10,
    )


def test_smaller_batches_say_the_same_of_many_images_where_the_biased_form_does_not() -> None:
    features = made_features(n=2000)
    whole = similarity_matrix(features, Comparison(unbiased=True))
    streamed = similarity_matrix(features, Comparison(unbiased=True, batch=20))
    biased = np.mean(
        [similarity_matrix([x[i : i + 20] for x in features]) for i in range(0, 2000, 20)], axis=0
    )
    assert np.abs(streamed - whole).max() < 0.02
    assert np.abs(biased - whole).max() > 0.1


def test_unrelated_features_are_alike_in_the_biased_form_alone() -> None:
    rng = np.random.default_rng(0)
    unrelated = [rng.normal(size=(50, 300)) for _ in range(2)]
    assert similarity_matrix(unrelated)[0, 1] > 0.8
    assert abs(similarity_matrix(unrelated, Comparison(unbiased=True))[0, 1]) < 0.05


# Memory, progress and bad input.


@each
def test_values_do_not_depend_on_the_memory_they_may_use(comparison: Comparison, tmp_path: Path) -> None:
    features = made_features()
    plenty = similarity_matrix(features, comparison)
    for memory in (100_000, 130_000, 200_000):
        little = similarity_matrix(features, comparison, memory=memory, scratch=tmp_path)
        np.testing.assert_allclose(little, plenty, atol=1e-12)
    assert list(tmp_path.iterdir()) == []


class OnDisk:
    """Features that are made when they are read, so that they take no memory beforehand."""

    dtype = np.dtype(np.float32)

    def __init__(self, seed: int, shape: tuple[int, int]) -> None:
        self.seed, self.shape = seed, shape

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        whole = np.random.default_rng(self.seed).random(self.shape, np.float32)
        return whole[rows].copy()


@pytest.mark.parametrize(
    "comparison", [*PLAIN, Comparison(unbiased=True, batch=64)], ids=lambda comparison: comparison.title
)
def test_memory_stays_within_its_bound(comparison: Comparison, tmp_path: Path) -> None:
    # All Grams at once would be 40 · 400² · 8 B = 51 MB, all features in float64 13 MB.
    memory = 8_000_000
    features = [OnDisk(seed, (400, 100)) for seed in range(40)]
    tracemalloc.start()
    try:
        similarity_matrix(features, comparison, memory=memory, scratch=tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < memory


@each
def test_comparison_tells_its_progress_and_can_be_stopped(comparison: Comparison) -> None:
    seen: list[Progress] = []
    similarity_matrix(made_features(), comparison, report=seen.append)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == seen[-1].total

    def stop(progress: Progress) -> None:
        if progress.done > seen[-1].total // 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        similarity_matrix(made_features(), comparison, report=stop)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.full((30, 4), np.nan), "NaN or infinite"),
        (np.full((30, 4), np.inf), "NaN or infinite"),
        (np.ones((30, 4)), "same for every image"),
        (np.full((30, 4), 0.1, np.float32), "same for every image"),
        (np.full((30, 4), 0.1, np.float16), "same for every image"),
        (np.zeros((30, 4)), "same for every image"),
        (np.random.default_rng(0).normal(size=(29, 4)), "29 images"),
        (np.zeros(30), "matrix"),
        (np.zeros((30, 0)), "matrix"),
        (np.full((30, 4), "x"), "matrix"),
    ],
)
def test_bad_features_are_named(bad: Floats, words: str) -> None:
    with pytest.raises(DeryError, match=words) as error:
        similarity_matrix([made_features()[0], bad], names=["fine", "culprit"])
    assert "culprit" in str(error.value)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(DeryError, match="at least 4 images, not 3"):
        similarity_matrix([x[:3] for x in made_features()])


def test_too_little_memory_says_how_much_is_needed() -> None:
    with pytest.raises(DeryError, match=r"30 images at once of 5 cuts need .* kB of memory: allow more"):
        similarity_matrix(made_features(), memory=10_000)


def test_a_scratch_folder_that_can_not_be_written_is_named() -> None:
    with pytest.raises(DeryError, match="nor into /dev/null/x .* allow more memory"):
        similarity_matrix(made_features(), scratch=Path("/dev/null/x"))


def test_images_equally_far_apart_say_nothing_unbiased() -> None:
    with pytest.raises(DeryError, match="culprit places all images equally far apart"):
        similarity_matrix(
            [np.eye(30), made_features()[0]], Comparison(unbiased=True), names=["culprit", "fine"]
        )


def test_a_kernel_without_width_is_named() -> None:
    mostly_same = np.zeros((30, 2))
    mostly_same[:3] = np.eye(3, 2) + 1
    with pytest.raises(DeryError, match="culprit is the same for most pairs"):
        similarity_matrix([mostly_same, made_features()[0]], Comparison("rbf-cka"), ["culprit", "fine"])


def test_small_variation_over_a_large_mean_is_not_called_constant() -> None:
    x = 1000 + 0.01 * made_features()[1]
    assert similarity_matrix([x, x - 1000])[0, 1] == pytest.approx(1, abs=1e-9)
