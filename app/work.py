"""Long work in a thread of its own, so that a page can draw its progress and be left and found again.

Work is known by a key; whoever asks for the same key, in any session, attaches to the same work.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar, cast

from dery_core.errors import Cancelled, DeryError, first_line
from dery_core.progress import Progress, ProgressFn, silent

T = TypeVar("T")

KEPT = 64
POLL_SECONDS = 0.1

_log = logging.getLogger(__name__)


class Fault(DeryError):
    """An error that nobody foresaw, as a sentence; its traceback is in the server's log."""

    def __init__(self, error: BaseException) -> None:
        kind, said = type(error).__name__, first_line(error)
        what = kind if said == kind else f"{kind}: {said}"
        super().__init__(
            f"a fault of the program ({what}) stopped this work. Nothing is lost, what was finished is kept; "
            "the details are in the terminal that the app was started in."
        )


class Work(Generic[T]):
    """One piece of work: `progress` while it runs, then its value or its error."""

    def __init__(self, function: Callable[[ProgressFn], T]) -> None:
        self.progress: Progress | None = None
        self.started = time.monotonic()
        self._function = function
        self._value: T | None = None
        self._error: BaseException | None = None
        self._cancelled = threading.Event()
        self._left = False
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def finished(self) -> bool:
        return self._finished.is_set()

    @property
    def succeeded(self) -> bool:
        return self.finished and self._error is None

    @property
    def cancelled(self) -> bool:
        """Whether it is finished because it was asked to stop."""
        return self.finished and isinstance(self._error, Cancelled)

    @property
    def failed(self) -> bool:
        """Whether an error ended it."""
        return self.finished and self._error is not None and not self.cancelled

    @property
    def left(self) -> bool:
        """Whether it was cancelled as nobody needed it any more, so that whoever does may begin it anew."""
        return self.cancelled and self._left

    def cancel(self) -> None:
        """End work that nobody needs any more, at its next report; whatever it kept on disk stays."""
        self._left = True
        self._cancelled.set()

    def stop(self) -> None:
        """As `cancel`, because somebody said so: it stays stopped until it is forgotten."""
        self._cancelled.set()

    def value(self) -> T:
        """The value of finished work. Raises what ended it: Cancelled, or a DeryError; an error that nobody
        foresaw becomes a `Fault`."""
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`; whether the work is finished."""
        return self._finished.wait(seconds)

    def follow(self, report: ProgressFn = silent) -> T:
        """The value, once there; passes the progress on meanwhile. For work that needs this work.

        When `report` raises, this work is cancelled too.
        """
        seen = None
        while not self.wait(POLL_SECONDS):
            if self.progress is not None and self.progress is not seen:
                seen = self.progress
            try:
                if seen is not None:
                    report(seen)
            except Cancelled:
                self.cancel()
                raise
        return self.value()

    def _run(self) -> None:
        try:
            self._value = self._function(self._report)
        except (DeryError, Cancelled) as error:
            self._error = error
        except BaseException as error:
            _log.exception("Work in the background failed")
            self._error = Fault(error)
        finally:
            self._finished.set()

    def _report(self, progress: Progress) -> None:
        if self._cancelled.is_set():
            raise Cancelled
        self.progress = progress


W = TypeVar("W", bound=Work[Any])

_works: OrderedDict[Hashable, Work[Any]] = OrderedDict()
_lock = threading.Lock()


def start(key: Hashable, function: Callable[[ProgressFn], T]) -> Work[T]:
    """The work known by `key`, begun now if there is none. Work that was left begins anew; what somebody
    stopped stays so until it is forgotten."""
    return attach(key, lambda: Work(function))


def attach(key: Hashable, begin: Callable[[], W]) -> W:
    """As `start`, for work of a kind of its own, which `begin` makes; it must not begin other work."""
    with _lock:
        work = _works.get(key)
        if work is None or work.left:
            work = _works[key] = begin()
        _works.move_to_end(key)
        while len(_works) > KEPT:
            _works.popitem(last=False)
        return cast(W, work)


def find(key: Hashable) -> Work[Any] | None:
    """The work known by `key`, None when nobody asked for it yet."""
    return _works.get(key)


def forget(key: Hashable) -> None:
    """Let the next `start` of `key` begin anew: for trying again after an error."""
    with _lock:
        _works.pop(key, None)
