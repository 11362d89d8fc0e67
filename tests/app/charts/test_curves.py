"""Training curves."""

import pandas as pd

from app.charts.curves import training_curves

COLOURS = {"a": "#112233", "b": "#445566"}


def test_curves_leave_out_what_was_not_measured() -> None:
    metrics = pd.DataFrame({"epoch": [0, 1], "loss": [None, 1.5], "top1": [10.0, 50.0]})
    loss, top1 = training_curves({"a": metrics}, COLOURS).data
    assert list(loss.x) == [1]
    assert list(top1.y) == [10.0, 50.0]
    assert loss.line.color == top1.line.color == "#112233"
