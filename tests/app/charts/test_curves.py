"""Training curves."""

import pandas as pd

from app.charts.curves import training_curves

COLOURS = {"a": "#112233", "b": "#445566"}


def test_curves_leave_out_what_was_not_measured() -> None:
    metrics = pd.DataFrame({"epoch": [0, 1], "loss": [None, 1.5], "top1": [10.0, 50.0]})
    loss, top1 = training_curves({"a": metrics}, COLOURS, epochs=1).data
    assert list(loss.x) == [1]
    assert list(top1.y) == [10.0, 50.0]
    assert loss.line.color == top1.line.color == "#112233"


def test_the_axes_are_whole_before_the_first_epoch_is_over() -> None:
    before = pd.DataFrame({"epoch": [0], "loss": [None], "top1": [10.0]})
    layout = training_curves({"a": before}, COLOURS, epochs=20).layout
    assert layout.xaxis.range == layout.xaxis2.range == (0, 20)
    assert layout.yaxis2.range == (0, 100)
    assert layout.yaxis.showticklabels is False
