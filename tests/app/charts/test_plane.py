"""The planes of cost and worth."""

import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

from app.charts.plane import Limits, Marked, score_plane, zoo_scatter

MODELS = pd.DataFrame(
    {
        "name": ["a", "b"],
        "family": ["resnet", "vit"],
        "source_task": ["s", "t"],
        "params": [1e5, 2e5],
        "macs": [1e6, 1e7],
        "top1": [80.0, 90.0],
        "chosen": [True, False],
    }
)
COLOURS = {"a": "#112233", "b": "#445566"}


def test_the_zoo_is_drawn_by_model_colour_and_task_shape() -> None:
    figure = zoo_scatter(MODELS, COLOURS)
    points = [trace for trace in figure.data if trace.showlegend is False]
    assert [list(trace.marker.color) for trace in points] == [["#112233"], ["#445566"]]
    assert points[0].marker.symbol != points[1].marker.symbol
    assert [list(trace.text) for trace in points] == [["a"], [""]]


HYBRIDS = pd.DataFrame(
    {
        "macs": [1e6, 2e6, 4e6],
        "params": [3e5, 1e5, 2e5],
        "score": [10.0, 20.0, 30.0],
        "choice": ["1-1-2", "1-2-2", "2-2-1"],
        "label": ["p", "q", "r"],
    }
)
WHOLE = pd.DataFrame({"macs": [3e6], "params": [1e5], "score": [15.0], "name": ["a"]})
MEASURED = pd.DataFrame(
    {
        "macs": [1e6, 3e6, 2e6],
        "params": [1e5, 2e5, 3e5],
        "top1": [70.0, 60.0, 65.0],
        "name": ["a", "Hybrid", "b"],
        "kind": ["source", "hybrid", "member"],
    }
)
BEST = Marked("Shown", 100_000, 2_000_000, 20.0)
NO_LIMITS = Limits()


def plane(**changed: Any) -> go.Figure:
    given: dict[str, Any] = {
        "cloud": HYBRIDS,
        "front": HYBRIDS,
        "members": WHOLE,
        "marked": [BEST],
        "accuracies": MEASURED,
        "colours": COLOURS,
        "limits": NO_LIMITS,
    }
    return score_plane(**(given | changed))


def traces(figure: go.Figure, name: str) -> list[Any]:
    return [trace for trace in figure.data if trace.name == name]


def test_score_and_accuracy_are_on_panels_of_their_own() -> None:
    figure = plane(named=("a",))
    texts = {trace.name: list(trace.text) for trace in figure.data if trace.yaxis == "y2"}
    assert texts == {"Zoo on source task": ["a"], "Zoo on target task": [""], "Hybrids on target task": [""]}
    assert [trace.x[0] for trace in traces(figure, "Networks uncut")] == [3e6]
    assert traces(figure, "Shown")[0].yaxis is None


def test_a_click_on_a_hybrid_tells_which_it_is_and_on_a_network_nothing() -> None:
    figure = plane()
    assert [point[0] for point in traces(figure, "All hybrids")[0].customdata] == list(HYBRIDS["choice"])
    assert traces(figure, "Networks uncut")[0].customdata is None
    assert all(trace.customdata is None for trace in figure.data if trace.yaxis == "y2")


def test_of_the_front_what_breaks_either_limit_is_pale() -> None:
    figure = plane(limits=Limits(params=(None, 250_000), macs=(1_500_000, 3_000_000)))
    shown = {
        trace.marker.opacity: [point[0] for point in trace.customdata]
        for trace in figure.data
        if trace.name.startswith("Front:")
    }
    assert shown[1.0] == ["1-2-2"]
    assert sorted(shown[min(shown)]) == ["1-1-2", "2-2-1"]


def test_the_line_is_the_best_for_its_cost_within_the_other_limit() -> None:
    line = traces(plane(), "Best for its MACs")[0]
    assert list(line.y) == [10.0, 20.0, 30.0]
    line = traces(plane(limits=Limits(params=(None, 250_000))), "Best for its MACs")[0]
    assert list(line.x) == [2e6, 4e6], "the first needs more parameters than allowed"
    line = traces(plane(axis="params"), "Best for its parameters")[0]
    assert list(zip(line.x, line.y, strict=True)) == [(1e5, 20.0), (2e5, 30.0)]


def test_the_front_is_coloured_by_the_cost_that_is_not_on_the_axis() -> None:
    for axis, other in (("macs", "params"), ("params", "macs")):
        figure = plane(axis=axis)
        front = next(trace for trace in figure.data if trace.name.startswith("Front:") and len(trace.x))
        assert list(front.x) == list(HYBRIDS[axis])
        assert list(front.marker.color) == pytest.approx([math.log10(cost) for cost in HYBRIDS[other]])


def test_every_limit_of_the_axis_is_a_line_with_shade_beyond_it() -> None:
    assert not plane().layout.shapes
    figure = plane(limits=Limits(params=(None, 250_000), macs=(1_500_000, 3_000_000)))
    lines = [shape.x0 for shape in figure.layout.shapes if shape.type == "line"]
    assert lines == [1_500_000, 3_000_000]
    shades = [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"]
    assert shades[0][1] < shades[0][0]
    assert shades[1][1] > shades[1][0]


def test_of_a_long_front_dots_are_drawn_where_there_is_a_label_and_the_line_is_of_all() -> None:
    figure = plane(front=HYBRIDS.assign(label=["p", "", "r"]))
    dots = [list(trace.y) for trace in figure.data if trace.name.startswith("Front:")]
    assert [10.0, 30.0] in dots
    assert list(traces(figure, "Best for its MACs")[0].y) == [10.0, 20.0, 30.0]


def test_without_a_front_all_hybrids_are_drawn() -> None:
    figure = plane(front=HYBRIDS.head(0))
    assert len(traces(figure, "All hybrids")[0].x) == len(HYBRIDS)


def test_a_limit_that_nothing_keeps_leaves_a_figure() -> None:
    figure = plane(limits=Limits(params=(None, 1), macs=(None, 1)), marked=[])
    assert not traces(figure, "Shown")
    assert list(traces(figure, "Best for its MACs")[0].x) == []
