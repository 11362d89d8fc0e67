"""Bars of blocks: places, colours and marks."""

import numpy as np
import pandas as pd
import pytest

from app.charts.partition import block_heatmap, partition_bars, set_contrast
from app.colours import set_colours

BLOCKS = pd.DataFrame(
    {
        "model": ["a", "a", "b", "b"],
        "stage": [0, 1, 0, 1],
        "set": [0, 1, 0, 1],
        "start": [0, 0.4, 0, 0.98],
        "share": [0.4, 0.6, 0.98, 0.02],
        "similarity": [2, 1.5, 1, 2],
        "anchor": [True, False, False, True],
        "layers": "x – y",
        "nodes": 3,
        "params": 1200,
        "macs": 3_400_000,
    }
)


def test_every_block_is_a_segment_in_the_colour_of_its_set() -> None:
    figure = partition_bars(BLOCKS, "params")
    assert [trace.marker.color for trace in figure.data] == set_colours(2)
    assert list(figure.data[0].x) == [0.4, 0.98]
    assert list(figure.data[1].base) == [0.4, 0.98]


def test_a_block_bears_its_similarity_and_an_anchor_its_star() -> None:
    figure = partition_bars(BLOCKS, "params")
    assert list(figure.data[0].text) == ["★", "1.00"]
    assert list(figure.data[1].text) == ["1.50", "★"]


def test_where_the_place_does_not_tell_the_set_its_number_is_on_the_block() -> None:
    swapped = BLOCKS.assign(set=[1, 0, 0, 1])
    figure = partition_bars(swapped, "params", numbered=True)
    assert list(figure.data[0].text) == ["1", "1"]
    assert list(figure.data[1].text) == ["2 ★", "2 ★"]
    assert [trace.marker.color for trace in figure.data] == set_colours(2)


def test_the_first_model_is_on_top() -> None:
    # Plotly draws from below.
    assert list(partition_bars(BLOCKS, "params").layout.yaxis.categoryarray) == ["b", "a"]


def test_hovering_tells_what_a_block_holds() -> None:
    told = partition_bars(BLOCKS, "params").data[0].customdata[0]
    for fact in (
        "a, block 1",
        "set 1",
        "x – y",
        "3 nodes",
        "1.2 k params",
        "3.4 M MACs",
        "anchor of its set",
    ):
        assert fact in told


def test_the_axis_names_the_size_that_was_counted() -> None:
    assert "MACs" in partition_bars(BLOCKS, "macs").layout.xaxis.title.text


@pytest.mark.parametrize("count", [4, 15, 30])
def test_bars_of_many_networks_fit_a_screen(count: int) -> None:
    blocks = pd.concat([BLOCKS[:2].assign(model=str(number)) for number in range(count)])
    assert 200 < partition_bars(blocks, "params").layout.height < 1000


def test_every_set_is_outlined_and_every_anchor_starred() -> None:
    labels = ["a · 1", "b · 1", "a · 2", "b · 2", "b · 3"]
    figure = block_heatmap(np.eye(5) * 2, labels, (0, 0, 1, 1, 1), [1, 2])
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes] == [(-0.5, 1.5), (1.5, 4.5)]
    assert list(figure.data[1].x) == list(figure.data[1].y) == ["b · 1", "a · 2"]
    assert list(figure.data[0].y) == labels


def test_names_of_narrow_sets_that_would_meet_are_left_out() -> None:
    sets = [0] * 60 + [1] + [2] + [3] * 60
    figure = block_heatmap(np.zeros((122, 122)), [str(i) for i in range(122)], sets, [0])
    assert list(figure.layout.xaxis.ticktext) == ["Set 1", "", "", "Set 4"]


def test_a_set_of_one_block_is_shown_by_what_it_is_not() -> None:
    sets = pd.DataFrame({"set": [0, 1], "within": [1.5, np.nan], "across": [0.3, 0.4]})
    figure = set_contrast(sets)
    across, within = figure.data[-2:]
    assert list(across.x) == [0.3, 0.4]
    assert list(within.y) == ["Set 1", "Set 2"]
    assert list(within.marker.color) == set_colours(2)
