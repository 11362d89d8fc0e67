"""Bars of blocks: places, colours and marks."""

import pandas as pd

from app.charts.partition import partition_bars
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
