"""Work in threads: begun once a key, followed, cancelled, tried again."""

import threading
from collections.abc import Iterator

import pytest

from app import work
from dery_core.errors import Cancelled, DeryError
from dery_core.progress import Progress, ProgressFn, Ticker


@pytest.fixture(autouse=True)
def no_works() -> Iterator[None]:
    work._works.clear()
    yield
    work._works.clear()


def test_two_visitors_share_one_work() -> None:
    calls: list[int] = []

    def make(report: ProgressFn) -> int:
        calls.append(1)
        return 7

    first, second = work.start("key", make), work.start("key", make)
    assert first is second
    assert first.follow() == 7
    assert calls == [1]


def test_an_error_is_kept_until_the_work_is_forgotten() -> None:
    def fails(report: ProgressFn) -> int:
        raise DeryError("no such thing.")

    with pytest.raises(DeryError, match="no such thing"):
        work.start("key", fails).follow()
    with pytest.raises(DeryError, match="no such thing"):
        work.start("key", lambda report: 1).follow()
    work.forget("key")
    assert work.start("key", lambda report: 1).follow() == 1


def test_an_error_nobody_foresaw_is_a_sentence_and_its_traceback_goes_to_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(report: ProgressFn) -> int:
        return [1][2]

    first = work.start("inner", fails)
    outer = work.start("outer", lambda report: first.follow(report))
    with pytest.raises(DeryError, match=r"a fault of the program \(IndexError: list index out of range\)"):
        outer.follow()
    assert outer.failed
    assert not outer.cancelled
    assert caplog.text.count("Traceback") == 1


@pytest.mark.parametrize("stopped", [False, True])
def test_cancelled_work_stops_at_its_next_report_and_begins_anew_unless_somebody_stopped_it(
    stopped: bool,
) -> None:
    reported, go_on = threading.Event(), threading.Event()

    def make(report: ProgressFn) -> str:
        tick = Ticker("Step", 2, "units", report)
        reported.set()
        go_on.wait(10)
        tick()
        return "whole"

    task = work.start("key", make)
    assert reported.wait(10)
    (task.stop if stopped else task.cancel)()
    go_on.set()
    with pytest.raises(Cancelled):
        task.follow()
    assert (work.start("key", make) is task) == stopped
    work.forget("key")
    assert work.start("key", make).follow() == "whole"


def test_following_passes_progress_on_and_cancels_what_it_follows() -> None:
    started, go_on = threading.Event(), threading.Event()

    def inner(report: ProgressFn) -> None:
        tick = Ticker("Inner", 2, "units", report)
        started.set()
        go_on.wait(10)
        tick()

    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        raise Cancelled

    task = work.start("inner", inner)
    assert started.wait(10)
    with pytest.raises(Cancelled):
        task.follow(stop)
    assert seen[0].step == "Inner"
    go_on.set()
    assert task.wait(10)
    assert not task.succeeded


def test_only_finished_work_counts_as_succeeded() -> None:
    go_on = threading.Event()
    work.start("done", lambda report: 1).wait(10)
    waiting = work.start("waiting", lambda report: go_on.wait(10))
    succeeded = {key: task.succeeded for key in ("done", "waiting") if (task := work.find(key))}
    assert succeeded == {"done": True, "waiting": False}
    go_on.set()
    waiting.wait(10)


def test_the_oldest_work_is_dropped_when_there_is_too_much() -> None:
    for number in range(work.KEPT + 1):
        work.start(number, lambda report: None).wait(10)
    assert work.find(0) is None
    assert work.find(1) is not None
