"""Starting trainings, a few at a time: each is a process of its own that outlives the app.

A scoring never waits here: a page waits for it, so `dery_core.jobs.begin_scoring` starts it at once, beside
the trainings at work.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Sequence

from dery_core.errors import DeryError
from dery_core.jobs import Run

POLL_SECONDS = 0.5

_waiting: deque[Run] = deque()
_started: list[Run] = []
_lock = threading.Lock()
_thread: threading.Thread | None = None


def launch(runs: Sequence[Run]) -> None:
    """Start `runs` in order, at most one for each core at once.

    Only runs given here are started: a queued run may belong to a program that starts it itself.
    """
    global _thread
    with _lock:
        _waiting.extend(runs)
        _start_next()
        if _waiting and (_thread is None or not _thread.is_alive()):
            _thread = threading.Thread(target=_serve, daemon=True)
            _thread.start()


def _serve() -> None:
    while True:
        time.sleep(POLL_SECONDS)
        with _lock:
            _start_next()
            if not _waiting:
                return


def _start_next() -> None:
    """Start waiting runs while cores are free."""
    _started[:] = [run for run in _started if run.status().active]
    while _waiting and len(_started) < (os.cpu_count() or 1):
        run = _waiting.popleft()
        try:
            run.start()
        except DeryError as error:
            # Cancelled or deleted while it waited, or no memory: its page tells the state.
            run.say(str(error))
        else:
            _started.append(run)
