import itertools
from collections.abc import Callable

import numpy as np
import pytest

from dery_core.errors import DeryError
from dery_core.search import LinearScore, fit_linear

CHOICES = np.array(list(itertools.product(range(5), repeat=3)), np.int64)


def truth(linear: LinearScore, choices: np.ndarray = CHOICES) -> np.ndarray:
    return np.array([linear.predict(choice) for choice in choices.tolist()])


def test_prediction_is_the_sum_of_its_terms() -> None:
    linear = LinearScore(1.0, ((0.5, 2.0), (4.0, 8.0)), (((0.25, -0.5), (0.0, 0.0)),))
    assert linear.predict((0, 1)) == 1.0 + 0.5 + 8.0 - 0.5
    assert linear.predict((1, 0)) == 1.0 + 2.0 + 4.0 + 0.0


def test_additive_scores_are_recovered(random_linear: Callable[..., LinearScore]) -> None:
    known = LinearScore(300.0, random_linear(0).block)
    fitted = fit_linear(CHOICES, truth(known), models=5)
    assert np.allclose(truth(fitted), truth(known), atol=0.05)
    assert fitted.r2 is not None
    assert fitted.r2 > 0.999
    assert fitted.kendall is not None
    assert fitted.kendall > 0.97
    assert not fitted.pairs


def test_pair_terms_are_used_where_pairs_matter(random_linear: Callable[..., LinearScore]) -> None:
    known = random_linear(0)
    fitted = fit_linear(CHOICES, truth(known), models=5)
    assert fitted.pairs
    assert np.corrcoef(truth(fitted), truth(known))[0, 1] > 0.99


def test_noise_has_no_held_out_fit() -> None:
    noise = np.random.default_rng(0).normal(size=len(CHOICES))
    fitted = fit_linear(CHOICES, noise, models=5)
    assert fitted.r2 is not None
    assert fitted.r2 < 0.3


def test_fit_is_deterministic_and_ignores_infinite_scores(random_linear: Callable[..., LinearScore]) -> None:
    values = truth(random_linear(1))
    values[7] = -np.inf
    fitted = fit_linear(CHOICES, values, models=5, seed=2)
    assert fitted == fit_linear(CHOICES, values, models=5, seed=2)
    assert fitted.samples == len(CHOICES) - 1


def test_too_few_samples_report_no_fit() -> None:
    fitted = fit_linear(CHOICES[:4], np.arange(4.0), models=5)
    assert (fitted.r2, fitted.kendall) == (None, None)


def test_no_finite_score_is_a_sentence() -> None:
    with pytest.raises(DeryError, match="finite score"):
        fit_linear(CHOICES[:2], np.array([-np.inf, -np.inf]), models=5)
