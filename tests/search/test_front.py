import numpy as np

from dery_core.search import pareto_front


def test_front_is_what_no_point_beats() -> None:
    random = np.random.default_rng(0)
    cost, score = random.integers(0, 12, 60), random.integers(0, 12, 60)
    front = pareto_front(cost, score)
    for i in range(60):
        beaten = ((cost <= cost[i]) & (score >= score[i]) & ((cost < cost[i]) | (score > score[i]))).any()
        twin_before = ((cost[:i] == cost[i]) & (score[:i] == score[i])).any()
        assert (i in front) == (not beaten and not twin_before)
    assert (np.diff(cost[front]) > 0).all()
    assert (np.diff(score[front]) > 0).all()


def test_points_without_a_finite_score_are_left_out() -> None:
    assert pareto_front([1, 2, 3], [-np.inf, 5.0, np.nan]).tolist() == [1]
    assert pareto_front([], []).tolist() == []
