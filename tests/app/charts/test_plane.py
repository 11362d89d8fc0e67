"""The planes of cost and worth."""

import pandas as pd

from app.charts.plane import score_plane, zoo_scatter

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


def test_score_and_accuracy_are_on_panels_of_their_own() -> None:
    cloud = pd.DataFrame({"macs": [1e6, 2e6], "score": [10.0, 20.0], "label": ["p", "q"]})
    measured = pd.DataFrame(
        {
            "macs": [1e6, 3e6, 2e6],
            "top1": [70.0, 60.0, 65.0],
            "name": ["a", "Hybrid", "b"],
            "kind": ["source", "hybrid", "member"],
        }
    )
    figure = score_plane(
        cloud,
        cloud.tail(1),
        {"macs": 2e6, "score": 20.0},
        measured,
        COLOURS,
        max_macs=2_500_000,
        named=("a",),
    )
    texts = {trace.name: list(trace.text) for trace in figure.data if trace.yaxis == "y2"}
    assert texts["Zoo on source task"] == ["a"]
    assert texts["Zoo on target task"] == [""]
    panels = {trace.name: trace.yaxis for trace in figure.data}
    assert panels["Hybrids"] == panels["Chosen hybrid"] == "y"
    below = {name for name, axis in panels.items() if axis == "y2"}
    assert below == {"Zoo on source task", "Zoo on target task", "Hybrids on target task"}
    assert {shape.x0 for shape in figure.layout.shapes} == {2_500_000}


def test_no_limit_draws_no_line() -> None:
    cloud = pd.DataFrame({"macs": [1e6], "score": [10.0], "label": ["p"]})
    nothing = pd.DataFrame(columns=["macs", "top1", "name", "kind"])
    figure = score_plane(cloud, cloud, {"macs": 1e6, "score": 10.0}, nothing, COLOURS)
    assert not figure.layout.shapes
