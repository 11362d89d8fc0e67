"""The picture of a line graph: widths that mean something, labels that don't meet."""

import pandas as pd
import pytest

from app.charts.line_graph import line_graph_bars

NODES = pd.DataFrame(
    {
        "name": ["stem", "one", "two", "head"],
        "params": [10, 30, 50, 10],
        "macs": [600, 200, 200, 0],
        "before": ["3 × 16×16", "8 × 8×8", "8 × 8×8", "8 × 4×4"],
        "after": ["8 × 8×8", "8 × 8×8", "8 × 4×4", "logits"],
        "grid": [16.0, 8.0, 8.0, 4.0],
        "head": [False, False, False, True],
    }
)


def test_nodes_are_as_wide_as_their_share_and_stand_in_order() -> None:
    bars = line_graph_bars(NODES, "params", "#123456").data[0]
    assert list(bars.x) == pytest.approx([0.1, 0.3, 0.5, 0.1])
    assert list(bars.base) == pytest.approx([0, 0.1, 0.4, 0.9])


def test_a_node_without_cost_can_still_be_seen() -> None:
    widths = line_graph_bars(NODES, "macs", "#123456").data[0].x
    assert 0 < widths[-1] < 0.01
    assert sum(widths) == pytest.approx(1)


def test_nodes_that_receive_the_same_tensor_share_a_step() -> None:
    steps = line_graph_bars(NODES, "params", "#123456").data[1]
    assert list(steps.customdata) == ["3 × 16×16", "8 × 8×8", "8 × 4×4"]
    assert list(steps.width) == pytest.approx([0.1, 0.8, 0.1])
    assert list(steps.y) == [5, 4, 3]


def test_a_label_that_would_run_into_another_is_left_out() -> None:
    crowded = NODES.assign(params=[2, 1, 96, 1])
    labels = line_graph_bars(crowded, "params", "#123456").data[2]
    assert list(labels.text) == ["", "8 × 8×8", "8 × 4×4"]
    assert labels.textposition[-1] == "top left"
    assert labels.x[-1] == pytest.approx(1)


def test_a_name_that_its_bar_has_no_room_for_is_left_to_the_hover() -> None:
    nodes = NODES.assign(params=[1, 4, 94, 1], name=["stem", "a.name.far.too.long.to.stand", "two", "head"])
    assert list(line_graph_bars(nodes, "params", "#123456").data[0].text) == ["", "", "two", ""]
    upright = NODES.assign(params=[1, 4, 94, 1], name=["stem", "blocks.0", "two", "head"])
    assert line_graph_bars(upright, "params", "#123456").data[0].text[1] == "blocks.0"


def test_grids_too_near_for_two_ticks_share_one() -> None:
    near = NODES.assign(grid=[240.0, 20.0, 20.0, 14.0])
    assert list(line_graph_bars(near, "params", "#123456").layout.yaxis2.ticktext) == ["240", "20"]


def test_streams_are_labelled_one_below_the_other() -> None:
    streams = NODES.assign(before=["3 × 16×16", *["2 streams: 8×8 × 4 | vector of 9"] * 3])
    assert "8×8 × 4<br>vector of 9" in line_graph_bars(streams, "params", "#123456").data[2].text
