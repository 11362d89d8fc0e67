"""Heatmaps: rows and columns where they belong, labels that stay readable."""

import numpy as np
import pandas as pd

from app.charts.similarity import all_heatmap, cut_labels, most_alike, pair_heatmap

CUTS = pd.DataFrame({"cut": [0, 1, 2], "node": ["input", "stem", "layer1.0"], "layout": ["x", "y", "z"]})


def test_cuts_are_labelled_by_number_and_node() -> None:
    assert cut_labels(CUTS) == ["0 · input", "1 · stem", "2 · layer1.0"]


def test_a_long_node_name_keeps_its_end() -> None:
    long = pd.DataFrame({"cut": [7], "node": ["encoder.stages.2.layers.11.attention"]})
    label = cut_labels(long)[0]
    assert label.startswith("7 · …")
    assert label.endswith("layers.11.attention")


def test_the_pair_heatmap_puts_rows_down_and_columns_across() -> None:
    values = np.arange(6).reshape(3, 2) / 10
    figure = pair_heatmap(values, CUTS, CUTS.head(2), "row", "column")
    heatmap = figure.data[0]
    assert np.array_equal(heatmap.z, values)
    assert (heatmap.zmin, heatmap.zmax) == (0, 1)
    assert list(figure.layout.yaxis.ticktext) == cut_labels(CUTS)
    assert figure.layout.yaxis.autorange == "reversed"
    assert list(heatmap.customdata[2, 1]) == ["2 · layer1.0 (z)", "1 · stem (y)"]


def test_a_heatmap_of_many_cuts_thins_its_labels() -> None:
    many = pd.DataFrame({"cut": range(90), "node": ["n"] * 90, "layout": ["l"] * 90})
    figure = pair_heatmap(np.eye(90), many, many, "a", "b")
    assert len(figure.layout.xaxis.tickvals) <= 40
    assert figure.layout.xaxis.ticktext[1] == "3 · n"


def test_the_most_alike_cuts_are_never_the_image_itself() -> None:
    values = np.array([[1.0, 0.2, 0.1], [0.2, 0.3, 0.8], [0.1, 0.4, 0.5]])
    assert most_alike(values, same_model=False) == (1, 2, 0.8)


def test_a_cut_is_not_told_to_be_like_itself() -> None:
    values = np.array([[1.0, 0.2, 0.1], [0.2, 1.0, 0.6], [0.1, 0.4, 1.0]])
    assert most_alike(values, same_model=True) == (1, 2, 0.6)
    assert most_alike(np.eye(2), same_model=True) is None


def test_all_cuts_are_divided_by_model_with_the_name_in_the_middle() -> None:
    index = pd.concat([CUTS.assign(model="a"), CUTS.head(2).assign(model="b")], ignore_index=True)
    figure = all_heatmap(np.eye(5), index)
    assert list(figure.layout.xaxis.ticktext) == ["a", "b"]
    assert list(figure.layout.xaxis.tickvals) == [1.0, 3.5]
    assert {shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1} == {2.5}
