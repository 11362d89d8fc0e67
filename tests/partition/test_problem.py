from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dery_core.errors import DeryError
from dery_core.partition import Problem, build_problem, solve_arrays


def problem_of(made: Any, k: int = 3, epsilon: float = 0.5) -> Problem:
    return build_problem(made.similarity, made.model, made.cut, made.size, k, epsilon, made.names)


@pytest.mark.parametrize("elements", [1, 50, 4_000_000])
@pytest.mark.parametrize("k", range(3))
def test_anchor_values_equal_the_loop_over_all_segments(
    arrays: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, k: int, elements: int
) -> None:
    monkeypatch.setattr("dery_core.partition.problem._ELEMENTS", elements)
    problem = problem_of(arrays((5, 6, 7)))
    stage, sim = problem.stages[k], problem.similarity
    rng = np.random.default_rng(k)
    prefix, suffix = rng.normal(size=(2, len(sim)))
    anchors = rng.permutation(len(stage))[:5]
    expected = []
    for anchor in anchors:
        total = 0.0
        for model in range(3):
            own = stage.model[anchor] == model
            total += max(
                prefix[stage.start[s]]
                + sim[stage.start[s], stage.start[anchor]]
                + sim[stage.end[s], stage.end[anchor]]
                + suffix[stage.end[s]]
                for s in ([anchor] if own else np.flatnonzero(stage.model == model))
            )
        expected.append(total)
    np.testing.assert_allclose(problem.anchor_values(k, anchors, prefix, suffix), expected)


def test_paths_adjoin_and_use_the_stages_segments(arrays: Callable[..., Any]) -> None:
    problem = problem_of(arrays((5, 6, 7)))
    rng = np.random.default_rng(0)
    chosen = problem.paths([rng.normal(size=len(stage)) for stage in problem.stages])
    starts = np.stack([s.start[c] for s, c in zip(problem.stages, chosen.T, strict=True)], axis=1)
    ends = np.stack([s.end[c] for s, c in zip(problem.stages, chosen.T, strict=True)], axis=1)
    np.testing.assert_array_equal(starts[:, 0], problem.first)
    np.testing.assert_array_equal(ends[:, -1], problem.last)
    np.testing.assert_array_equal(starts[:, 1:], ends[:, :-1])
    for k, stage in enumerate(problem.stages):
        np.testing.assert_array_equal(stage.model[chosen[:, k]], np.arange(3))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"k": 1}, "K is 1"),
        ({"k": 6}, "m0 has only 5 nodes"),
        ({"epsilon": -0.1}, "ε is -0.1"),
        ({"epsilon": float("nan")}, "ε is nan"),
    ],
)
def test_impossible_settings_are_refused(
    arrays: Callable[..., Any], settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(DeryError, match=words):
        problem_of(arrays((5, 6, 7)), **settings)


def test_one_model_is_refused(arrays: Callable[..., Any]) -> None:
    with pytest.raises(DeryError, match="at least two models"):
        problem_of(arrays((5,)))


@pytest.mark.parametrize(
    ("field", "change", "words"),
    [
        ("similarity", lambda x: x[:-1], "doesn't fit"),
        ("size", lambda x: x[1:], "doesn't fit"),
        ("similarity", lambda x: x + np.triu(np.ones_like(x), 1), "symmetric"),
        ("similarity", lambda x: x * np.nan, "symmetric"),
        ("similarity", lambda x: x * 0.5, "unit diagonal"),
        ("similarity", lambda x: x + 0.5 * (1 - np.eye(len(x))), r"goes up to 1\.\d+: no two cuts"),
        ("similarity", lambda x: np.where(x == 1, x, 1 + 2e-6), r"goes up to 1\.000002"),
        ("names", lambda x: x[1:], "2 names for the similarity table's 3 models"),
        ("model", lambda x: x[::-1], "cuts 0 to L"),
        ("model", lambda x: x * 2, "cuts 0 to L"),
        ("cut", lambda x: x + 1, "cuts 0 to L"),
        ("cut", lambda x: np.where(x == 3, 2, x), "in order"),
        ("size", lambda x: -x, "in order"),
    ],
)
def test_tables_that_make_no_sense_are_refused(
    arrays: Callable[..., Any], field: str, change: Callable[[Any], Any], words: str
) -> None:
    made = arrays((5, 6, 7))
    with pytest.raises(DeryError, match=words):
        problem_of(replace(made, **{field: change(getattr(made, field))}))


def test_rounding_is_set_right_so_that_bounds_hold(arrays: Callable[..., Any]) -> None:
    made = arrays((5, 6, 7))
    rounding = np.random.default_rng(0).uniform(-4e-7, 4e-7, made.similarity.shape)
    nearly = np.where(made.similarity > 0.9, 1, made.similarity) + rounding
    assert nearly.max() > 1  # or this shows nothing
    similarity = problem_of(replace(made, similarity=nearly)).similarity
    np.testing.assert_array_equal(similarity, similarity.T)
    np.testing.assert_array_equal(np.diagonal(similarity), 1)
    assert similarity.max() == 1
    np.testing.assert_allclose(similarity, nearly, atol=1e-6)


def test_an_empty_table_is_refused() -> None:
    none = np.zeros(0, np.int64)
    with pytest.raises(DeryError, match="is empty"):
        solve_arrays(np.zeros((0, 0)), none, none, np.zeros(0), [])
