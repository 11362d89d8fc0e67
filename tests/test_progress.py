"""Progress reports: counts, rates, estimates, cancelling."""

import pytest

from dery_core.errors import Cancelled
from dery_core.progress import Progress, TerminalProgress, Ticker


def test_rate_and_estimate_follow_from_what_is_done() -> None:
    progress = Progress("Features", done=3, total=12, unit="models", seconds=6.0)
    assert progress.rate == 0.5
    assert progress.remaining == 18.0
    assert str(progress) == "Features: 3/12 models, 0.5 models/s, 18 s to go"


def test_before_the_first_unit_there_is_no_estimate() -> None:
    progress = Progress("Features", done=0, total=12, unit="models", seconds=6.0)
    assert progress.remaining is None
    assert str(progress) == "Features: 0/12 models"


def test_a_ticker_reports_every_unit_from_zero_to_total() -> None:
    reports: list[Progress] = []
    tick = Ticker("Step", 3, "things", reports.append)
    tick()
    tick(2)
    assert [report.done for report in reports] == [0, 1, 3]


def test_a_callback_can_cancel() -> None:
    def refuse(progress: Progress) -> None:
        if progress.done == 2:
            raise Cancelled

    tick = Ticker("Step", 3, "things", refuse)
    tick()
    with pytest.raises(Cancelled):
        tick()


def test_the_terminal_draws_a_line_a_step_with_its_count(capsys: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress() as report:
        for step in ("First", "Second"):
            tick = Ticker(step, 2, "models", report)
            tick(2)
    shown = capsys.readouterr().err
    assert "First: 100%" in shown
    assert "Second: 100%" in shown
    assert "2/2" in shown
