from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from dery_core.errors import DeryError
from dery_core.scoring.transfer import Floats, Labels, h_score, leep, log_me, nce

ALL: list[Callable[[Floats, Labels], float]] = [log_me, h_score, leep, nce]
OF_FEATURES = [log_me, h_score]
OF_LOGITS = [leep, nce]


def labelled(count: int = 90, size: int = 8, signal: float = 1.0) -> tuple[Floats, Labels]:
    """Noise of three classes, each of which adds `signal` to a feature of its own."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 3
    return random.normal(size=(count, size)) + signal * np.eye(size)[labels], labels


def rotation(size: int) -> NDArray[np.float64]:
    return np.linalg.qr(np.random.default_rng(1).normal(size=(size, size)))[0]


def evidence_at(features: Floats, target: Floats, alpha: float, beta: float) -> float:
    """log p(target | features, α, β): a normal density of covariance F Fᵀ / α + I / β."""
    n = len(target)
    covariance = features @ features.T / alpha + np.eye(n) / beta
    return float(
        -0.5
        * (np.linalg.slogdet(2 * np.pi * covariance).logabsdet + target @ np.linalg.solve(covariance, target))
    )


@pytest.mark.parametrize(("count", "size"), [(60, 5), (60, 30), (20, 40)])
def test_logme_is_the_largest_evidence_that_a_direct_search_finds(count: int, size: int) -> None:
    features, labels = labelled(count, size)
    best = []
    for label in range(3):
        target = (labels == label).astype(float)
        found = minimize(
            lambda logs, target=target: -evidence_at(features, target, *np.exp(logs)),
            [0.0, 0.0],
            method="Nelder-Mead",
            options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000},
        )
        best.append(-found.fun / count)
    assert log_me(features, labels) == pytest.approx(np.mean(best), abs=1e-5)


def test_h_score_is_what_the_definition_gives_without_the_faintest_directions() -> None:
    features, labels = labelled()
    faint = np.hstack([features, 1e-3 * np.eye(90)[:, :4]])
    covariance = np.cov(features.T, bias=True)
    means = np.stack([features[labels == label].mean(axis=0) for label in labels])
    expected = np.trace(np.linalg.inv(covariance) @ np.cov(means.T, bias=True))
    assert h_score(features, labels) == pytest.approx(expected)
    assert h_score(faint, labels) == pytest.approx(expected, rel=1e-2)


def test_h_score_of_classes_at_points_is_one_less_than_the_classes() -> None:
    """Nothing varies within a class: all of the features' variance is between them."""
    labels = np.arange(3000) % 3
    noise = 1e-4 * np.random.default_rng(0).normal(size=(3000, 2))
    corners = np.array([[1.0, 0.0], [-0.5, np.sqrt(0.75)], [-0.5, -np.sqrt(0.75)]])
    assert h_score(corners[labels] + noise, labels) == pytest.approx(2, abs=0.01)


def test_leep_and_nce_of_a_case_worked_out_by_hand() -> None:
    """Source class 0 is named for labels 0, 0, 1 and source class 1 for label 1, both without doubt."""
    logits = np.array([[50.0, -50.0], [50.0, -50.0], [50.0, -50.0], [-50.0, 50.0]])
    labels = np.array([0, 0, 1, 1])
    expected = (2 * np.log(2 / 3) + np.log(1 / 3) + np.log(1)) / 4
    assert nce(logits, labels) == pytest.approx(expected)
    assert leep(logits, labels) == pytest.approx(expected)


def test_leep_weighs_by_the_classifiers_doubt() -> None:
    """θ = (¾, ¼) for label 0, (¼, ¾) for label 1: P(y | z) is ¾ where they go together, else ¼."""
    doubt = np.log(3.0)
    logits, labels = np.array([[doubt, 0.0], [0.0, doubt]]), np.array([0, 1])
    assert leep(logits, labels) == pytest.approx(np.log(0.75**2 + 0.25**2))
    assert nce(logits, labels) == pytest.approx(0)


@pytest.mark.parametrize("score", OF_LOGITS)
def test_an_opinion_that_tells_nothing_scores_as_the_labels_entropy(
    score: Callable[[Floats, Labels], float],
) -> None:
    assert score(np.zeros((90, 4)), labelled()[1]) == pytest.approx(-np.log(3))


@pytest.mark.parametrize("score", ALL)
def test_more_signal_scores_higher(score: Callable[[Floats, Labels], float]) -> None:
    scores = [score(*labelled(signal=signal)) for signal in (0.0, 1.0, 2.0, 5.0)]
    assert scores == sorted(scores)
    assert scores[0] < scores[1] < scores[3]


@pytest.mark.parametrize("score", OF_FEATURES)
def test_rotated_and_scaled_features_score_the_same(score: Callable[[Floats, Labels], float]) -> None:
    features, labels = labelled()
    turned = 40 * features @ rotation(8)
    assert score(turned, labels) == pytest.approx(score(features, labels), rel=1e-4)


@pytest.mark.parametrize("score", ALL)
def test_neither_the_order_of_images_nor_the_names_of_classes_matter(
    score: Callable[[Floats, Labels], float],
) -> None:
    """Nor do classes that no image has."""
    features, labels = labelled()
    order = np.random.default_rng(2).permutation(90)
    renamed = np.array([7, 2, 4])[labels]
    assert score(features[order], renamed[order]) == pytest.approx(score(features, labels))


@pytest.mark.parametrize("score", OF_FEATURES)
@pytest.mark.parametrize("features", [np.zeros((12, 5)), np.ones((12, 5)), np.eye(12, 30)])
def test_dead_or_more_features_than_images_score_a_finite_number(
    score: Callable[[Floats, Labels], float], features: Floats
) -> None:
    assert np.isfinite(score(features, np.arange(12) % 3))


@pytest.mark.parametrize("score", OF_FEATURES)
def test_a_feature_that_is_the_sum_of_others_is_no_obstacle(
    score: Callable[[Floats, Labels], float],
) -> None:
    """As behind a head's LayerNorm, whose outputs sum to 0."""
    features, labels = labelled()
    features -= features.mean(axis=1, keepdims=True)
    assert np.isfinite(score(features, labels))
    assert score(features, labels) > score(*labelled(signal=0.0))


@pytest.mark.parametrize("score", ALL)
def test_what_is_no_number_or_has_no_label_is_refused(score: Callable[[Floats, Labels], float]) -> None:
    features, labels = labelled()
    with pytest.raises(DeryError, match="every one needs one"):
        score(features, labels[1:])
    features[3, 1] = np.nan
    with pytest.raises(DeryError, match="infinite or not a number"):
        score(features, labels)
