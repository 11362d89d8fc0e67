"""Heatmaps and the map of cuts: everything where it belongs, labels that stay readable, clicks that tell."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from app.charts.similarity import (
    FINEST,
    Outline,
    all_heatmap,
    counterparts,
    cut_labels,
    cut_plane,
    most_alike,
    pair_heatmap,
    shared_blocks,
)

CUTS = pd.DataFrame(
    {
        "model": "row",
        "cut": [0, 1, 2],
        "node": ["input", "stem", "layer1.0"],
        "layout": ["3 × 8×8", "8 × 4×4", "8 × 2×2"],
    }
)
COLUMNS = CUTS.head(2).assign(model="column")
BOTH = pd.concat([CUTS.assign(model="a"), CUTS.head(2).assign(model="b")], ignore_index=True)


def boxes(figure: go.Figure) -> list[tuple[float, ...]]:
    """Left, right, top and bottom of every box drawn as a line."""
    found: list[tuple[float, ...]] = []
    for trace in figure.select_traces({"type": "scatter", "mode": "lines"}):
        if trace.x:
            for begin in range(0, len(trace.x), 6):
                x, y = trace.x[begin : begin + 5], trace.y[begin : begin + 5]
                found.append((min(x), max(x), min(y), max(y)))
    return found


def partition(sets: tuple[tuple[int, ...], ...]) -> Any:
    blocks = tuple(
        tuple(SimpleNamespace(start=start, end=end) for start, end in zip(cuts, cuts[1:], strict=False))
        for cuts in ([0, 3, 9], [0, 5, 7])
    )
    return SimpleNamespace(models=("a", "b"), blocks=blocks, sets=sets)


def test_cuts_are_labelled_by_number_and_node() -> None:
    assert cut_labels(CUTS) == ["0 · input", "1 · stem", "2 · layer1.0"]


def test_a_long_node_name_keeps_its_end() -> None:
    long = pd.DataFrame({"cut": [7], "node": ["encoder.stages.2.layers.11.attention"]})
    label = cut_labels(long)[0]
    assert label.startswith("7 · …")
    assert label.endswith("layers.11.attention")


def test_the_pair_heatmap_puts_rows_down_and_columns_across() -> None:
    values = np.arange(6).reshape(3, 2) / 10
    figure = pair_heatmap(values, CUTS, COLUMNS, "Linear CKA")
    heatmap = figure.data[0]
    assert np.array_equal(heatmap.z, values)
    assert (heatmap.zmin, heatmap.zmax) == (0, 1)
    assert heatmap.colorbar.title.text == "Linear CKA"
    assert list(figure.layout.yaxis.ticktext) == cut_labels(CUTS)
    assert figure.layout.yaxis.range == (2.5, -0.5), "the first row on top"
    assert figure.layout.xaxis.title.text == "Cuts of column"


def test_every_cell_has_an_unseen_point_that_tells_its_row_and_column() -> None:
    values = np.arange(6).reshape(3, 2) / 10
    points = pair_heatmap(values, CUTS, COLUMNS, "Linear CKA").data[-1]
    assert points.marker.opacity == points.selected.marker.opacity == points.unselected.marker.opacity == 0
    told = {(y, x): text for y, x, text in zip(points.y, points.x, points.hovertext, strict=True)}
    assert len(told) == 6
    assert told[2, 1] == (
        "row 2 · layer1.0 (8 × 2×2)<br>column 1 · stem (8 × 4×4)<br>Linear CKA <b>0.500</b>"
    )


def test_names_in_a_heatmap_are_no_markup() -> None:
    mischief = CUTS.assign(model="<b>a</b>")
    figure = pair_heatmap(np.zeros((3, 3)), mischief, mischief, "m")
    assert figure.layout.xaxis.title.text == "Cuts of &lt;b&gt;a&lt;/b&gt;"
    assert figure.data[-1].hovertext[0].startswith("&lt;b&gt;a")


def test_the_chosen_cell_is_framed() -> None:
    assert boxes(pair_heatmap(np.zeros((3, 2)), CUTS, COLUMNS, "m")) == []
    assert set(boxes(pair_heatmap(np.zeros((3, 2)), CUTS, COLUMNS, "m", cell=(2, 1)))) == {
        (0.5, 1.5, 1.5, 2.5)
    }


def test_blocks_are_framed_from_the_cut_they_begin_at_to_the_one_they_end_at() -> None:
    outlines = [Outline(1, top=0, bottom=1, left=0, right=1), Outline(2, top=1, bottom=2, left=0, right=1)]
    figure = pair_heatmap(np.zeros((3, 2)), CUTS, COLUMNS, "m", outlines)
    assert set(boxes(figure)) == {(0, 1, 0, 1), (0, 1, 1, 2)}
    assert [trace.text for trace in figure.data if trace.type == "scatter" and trace.text] == [("1", "2")]


def test_shared_blocks_are_those_of_one_set() -> None:
    staged = partition(sets=((0, 1), (0, 1)))
    assert shared_blocks(staged, "a", "b") == [Outline(1, 0, 3, 0, 5), Outline(2, 3, 9, 5, 7)]
    assert shared_blocks(staged, "b", "a") == [Outline(1, 0, 5, 0, 3), Outline(2, 5, 7, 3, 9)]


def test_a_free_partition_frames_blocks_off_the_diagonal() -> None:
    free = partition(sets=((1, 1), (0, 1)))
    assert shared_blocks(free, "a", "b") == [Outline(2, 0, 3, 5, 7), Outline(2, 3, 9, 5, 7)]


def test_a_partition_without_the_model_frames_nothing() -> None:
    assert shared_blocks(partition(sets=((0, 1), (0, 1))), "a", "c") == []


def test_a_heatmap_of_many_cuts_thins_its_labels() -> None:
    many = pd.DataFrame({"model": "a", "cut": range(90), "node": ["n"] * 90, "layout": ["l"] * 90})
    figure = pair_heatmap(np.eye(90), many, many, "m")
    assert len(figure.layout.xaxis.tickvals) <= 40
    assert figure.layout.xaxis.ticktext[1] == "3 · n"


def test_the_most_alike_cuts_are_never_the_image_itself() -> None:
    values = np.array([[1.0, 0.2, 0.1], [0.2, 0.3, 0.8], [0.1, 0.4, 0.5]])
    assert most_alike(values, same_model=False) == (1, 2, 0.8)


def test_a_cut_is_not_told_to_be_like_itself() -> None:
    values = np.array([[1.0, 0.2, 0.1], [0.2, 1.0, 0.6], [0.1, 0.4, 1.0]])
    assert most_alike(values, same_model=True) == (1, 2, 0.6)
    assert most_alike(np.eye(2), same_model=True) is None


def test_all_models_are_equally_wide_with_the_name_in_the_middle_and_borders_between() -> None:
    figure = all_heatmap(np.eye(5), BOTH, "m")
    heatmap = figure.data[0]
    assert list(figure.layout.xaxis.ticktext) == ["a", "b"]
    assert list(figure.layout.xaxis.tickvals) == [0.5, 1.5]
    assert [shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1] == [1]
    assert [shape.y0 for shape in figure.layout.shapes if shape.y0 == shape.y1] == [1]
    half = len(heatmap.x) // 2
    assert heatmap.x[half - 1] < 1 < heatmap.x[half]


def test_no_cut_is_lost_where_there_is_room_for_all() -> None:
    values = np.arange(25.0).reshape(5, 5)
    assert set(np.unique(all_heatmap(values, BOTH, "m").data[0].z)) == set(range(25))


@pytest.mark.parametrize("models", [30, 100])
def test_very_many_models_are_drawn_no_finer_than_a_screen(models: int) -> None:
    index = pd.concat([CUTS.assign(model=f"m{i}") for i in range(models)], ignore_index=True)
    index = pd.concat([index] * 8, ignore_index=True).sort_values("model", kind="stable", ignore_index=True)
    z = all_heatmap(np.zeros((len(index), len(index)), np.float32), index, "m").data[0].z
    assert len(z) <= FINEST
    assert len(z) % models == 0


def test_a_click_in_the_picture_of_all_tells_two_models() -> None:
    values = np.eye(5)
    values[2, 4] = values[4, 2] = 0.9
    points = all_heatmap(values, BOTH, "CKA").data[-1]
    told = {(y, x): tuple(names) for y, x, names in zip(points.y, points.x, points.customdata, strict=True)}
    assert told == {
        (0.5, 0.5): ("a", "a"),
        (0.5, 1.5): ("a", "b"),
        (1.5, 0.5): ("b", "a"),
        (1.5, 1.5): ("b", "b"),
    }
    assert "most alike: cuts 2 and 1, CKA 0.90" in points.hovertext[1]


def test_networks_are_ranked_by_how_well_each_cut_finds_its_counterpart() -> None:
    index = pd.concat([CUTS.assign(model=name) for name in "abc"], ignore_index=True)
    values = np.eye(9)
    for i, j, value in ((1, 5, 0.8), (2, 4, 0.6), (1, 8, 0.9)):
        values[i, j] = values[j, i] = value
    values[0, 3] = values[3, 0] = 1.0  # the image, which says nothing
    frame = counterparts(values, index)
    assert list(frame["pair"]) == ["a and b", "a and c", "b and c"]
    assert frame["alike"].tolist() == pytest.approx([0.7, 0.45, 0.0])


def test_every_network_is_a_path_from_the_image_to_its_named_end() -> None:
    points = np.array([[0, 0], [1, 1], [2, 1], [0, 0], [3, -1]], float)
    figure = cut_plane(points, BOTH, {"a": "#111111", "b": "#eeeeee"})
    paths = {trace.name: trace for trace in figure.data if trace.name in ("a", "b")}
    assert list(paths["a"].x) == [0, 1, 2]
    assert list(paths["b"].y) == [0, -1]
    assert paths["a"].line.color == "#111111"
    assert list(paths["a"].text) == ["", "", "a"]
    assert paths["a"].marker.size[-1] > paths["a"].marker.size[1]
    assert paths["a"].hovertext[2] == "a 2 · layer1.0 (8 × 2×2)"
    image = figure.data[-1]
    assert (image.text, image.x[0], image.y[0]) == ("the image", 0, 0)
    assert figure.layout.yaxis.scaleanchor == "x", "distances must be alike in both directions"


def test_names_of_ends_that_are_near_stand_on_different_sides() -> None:
    points = np.array([[0, 0], [1, 1], [3, 1], [0, 0], [3.1, 1]], float)
    figure = cut_plane(points, BOTH, {"a": "#111111", "b": "#eeeeee"})
    sides = [trace.textposition for trace in figure.data if trace.name in ("a", "b")]
    assert len(set(sides)) == 2


def test_a_name_that_has_no_place_beside_the_others_is_left_to_the_legend() -> None:
    count = 14
    index = pd.concat([CUTS.assign(model=f"network{i}") for i in range(count)], ignore_index=True)
    points = np.tile([[0, 0], [1, 1], [3, 1]], (count, 1)) + np.zeros((3 * count, 1))
    points[2::3, 1] += 0.01 * np.arange(count)
    figure = cut_plane(points.astype(float), index, {f"network{i}": "#111111" for i in range(count)})
    paths = [trace for trace in figure.data if trace.name and trace.name.startswith("network")]
    named = ["".join(path.text) for path in paths]
    assert 1 <= sum(map(bool, named)) < count
    assert all(path.showlegend is not False for path in paths)


def test_of_very_many_networks_only_the_legend_tells_the_names() -> None:
    index = pd.concat([CUTS.assign(model=f"m{i}") for i in range(20)], ignore_index=True)
    points = np.random.default_rng(0).normal(size=(60, 2))
    figure = cut_plane(points, index, {f"m{i}": "#111111" for i in range(20)})
    paths = [trace for trace in figure.data if trace.name and trace.name.startswith("m")]
    assert not any("".join(path.text) for path in paths)
    assert {path.line.dash for path in paths} == {"solid", "dash"}, "colours are used again after sixteen"
