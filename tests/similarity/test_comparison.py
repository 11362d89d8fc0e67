from typing import Any, get_args

import numpy as np
import pytest

from dery_core.errors import DeryError
from dery_core.similarity import MEASURES, Comparison, similarity_matrix
from dery_core.similarity.comparison import MeasureName


def test_every_measure_can_be_named() -> None:
    assert set(get_args(MeasureName)) == set(MEASURES)


def test_comparison_survives_a_file(tmp_path: Any) -> None:
    comparison = Comparison("rbf-cka", unbiased=True, pooling="flatten", batch=64)
    comparison.save(tmp_path / "c.json")
    assert Comparison.load(tmp_path / "c.json") == comparison


def test_title_says_what_differs_from_the_plain_form() -> None:
    assert Comparison().title == "Linear CKA"
    streamed = Comparison(unbiased=True, pooling="flatten", batch=64)
    assert streamed.title == "Linear CKA, unbiased, whole activations, minibatches of 64"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"measure": "cca"}, "no measure 'cca': choose one of cka, "),
        ({"pooling": "max"}, "not by 'max'"),
        ({"measure": "svcca", "unbiased": True}, "only cka and rbf-cka have an unbiased form"),
        ({"batch": 64}, "only be summed in the unbiased form"),
        ({"unbiased": True, "batch": 7}, "at least 8 images, not 7"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(DeryError, match=words):
        Comparison(**settings)


def test_svcca_is_a_mean_square_and_cited_as_that() -> None:
    """Two layers of one direction each, whose correlation is 0.6."""
    x, other = np.array([[1, -1, 1, -1]]).T, np.array([[1, 1, -1, -1]]).T
    comparison = Comparison("svcca")
    assert similarity_matrix([x, 0.6 * x + 0.8 * other], comparison)[0, 1] == pytest.approx(0.36)
    assert comparison.title == "SVCCA R²"
    assert "squared" in comparison.definition.sentence
    assert comparison.definition.source.startswith("Kornblith et al. 2019 (table 1")
