"""Several runs at once, for whoever waits for all of them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from pathlib import Path

from dery_core.errors import Cancelled, DeryError
from dery_core.jobs.training import TrainingRun
from dery_core.progress import ProgressFn, Ticker, silent
from dery_core.training import Result

_POLL = 0.3
_stop: Event


def run_all(runs: Sequence[TrainingRun], workers: int = 2, report: ProgressFn = silent) -> list[Result]:
    """Carry out `runs` in `workers` processes and return their results in the same order.

    The number of workers changes the time, not the results. Raises DeryError for the first run
    that failed, after all have ended; when `report` raises, the runs at work are cancelled, and
    all can be resumed later.
    """
    if workers < 1:
        raise DeryError(f"workers is {workers}; it must be at least 1.")
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(min(workers, len(runs) or 1), context, _initialise, (stop,)) as pool:
        futures = [pool.submit(_work, run.path) for run in runs]
        try:
            _watch(runs, futures, report)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [_outcome(run, future) for run, future in zip(runs, futures, strict=True)]


def _watch(runs: Sequence[TrainingRun], futures: Sequence[Future[Result]], report: ProgressFn) -> None:
    """Report the epochs of all runs together until all have ended."""
    states = [run.status() for run in runs]
    before = sum(state.done for state in states)
    tick = Ticker("Fine-tuning", sum(state.total for state in states) - before, "epochs", report)
    left: set[Future[Result]] = set(futures)
    while left:
        left = wait(left, timeout=_POLL).not_done
        done = sum(run.status().done for run in runs)
        tick(done - before)
        before = done


def _outcome(run: TrainingRun, future: Future[Result]) -> Result:
    try:
        return future.result()
    except DeryError as error:
        raise DeryError(f"The run {run.id} failed: {error}") from error
    except BrokenProcessPool as error:
        raise DeryError(
            f"A process ended while it worked on {run.id}, perhaps for want of memory: "
            "close other programs or use fewer workers."
        ) from error
    except Cancelled as error:
        raise DeryError(f"The run {run.id} was cancelled.") from error


def _initialise(stop: Event) -> None:
    """Prepare a worker process."""
    global _stop
    _stop = stop
    # Ctrl-C reaches the whole group; the parent alone answers it, through the event.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's processes would wait for work for ever if their parent were killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(path: Path) -> Result:
    if _stop.is_set():
        raise Cancelled  # not begun: it stays queued
    return TrainingRun(path).run_here(stop=_stop.is_set)
