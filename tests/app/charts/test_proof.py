"""Objective and bound over the steps of a proof."""

from app.charts.proof import proof_lines


def test_both_lines_run_over_all_steps_and_meet() -> None:
    figure = proof_lines([(5.0, 8.0), (6.0, 7.0), (6.5, 6.5)])
    bound, found = figure.data
    assert list(bound.y) == [8.0, 7.0, 6.5]
    assert list(found.y) == [5.0, 6.0, 6.5]
    assert list(found.x) == [1, 2, 3]
    low, high = figure.layout.yaxis.range
    assert low < 5
    assert high > 8


def test_a_proof_of_one_step_can_be_seen() -> None:
    figure = proof_lines([(6.5, 6.5)])
    assert all("markers" in line.mode for line in figure.data)
    low, high = figure.layout.yaxis.range
    assert low < 6.5 < high
