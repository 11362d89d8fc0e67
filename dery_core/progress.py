"""How long work tells what it has done: with a rate and an estimate, in terminal and page."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from tqdm import tqdm


@dataclass(frozen=True)
class Progress:
    """One report of a long step. `seconds` is the time since the step began."""

    step: str
    done: int
    total: int
    unit: str
    seconds: float

    @property
    def rate(self) -> float | None:
        """Units a second so far, None before the first unit."""
        return self.done / self.seconds if self.done and self.seconds > 0 else None

    @property
    def remaining(self) -> float | None:
        """Estimated seconds to go, None before the first unit."""
        rate = self.rate
        return None if rate is None else (self.total - self.done) / rate

    def __str__(self) -> str:
        text = f"{self.step}: {self.done}/{self.total} {self.unit}"
        if self.rate is None or self.remaining is None:
            return text
        rate = f"{self.rate:.0f}" if self.rate >= 100 else f"{self.rate:.3g}"
        return f"{text}, {rate} {self.unit}/s, {self.remaining:.0f} s to go"


ProgressFn = Callable[[Progress], None]
"""Receives every report; may raise `dery_core.errors.Cancelled` to stop the work."""


def silent(progress: Progress) -> None:
    """The default callback: says nothing."""


class Ticker:
    """Counts units of one step and reports each to a callback.

    >>> tick = Ticker("Features", total=12, unit="models", report=print)
    """

    def __init__(self, step: str, total: int, unit: str, report: ProgressFn) -> None:
        self.step, self.total, self.unit, self.report = step, total, unit, report
        self.done = 0
        self.started = time.monotonic()
        self._send()

    def __call__(self, units: int = 1) -> None:
        self.done += units
        self._send()

    def _send(self) -> None:
        seconds = time.monotonic() - self.started
        self.report(Progress(self.step, self.done, self.total, self.unit, seconds))


class TerminalProgress:
    """A ProgressFn that draws tqdm bars on stderr, one line a step. Use it as a context manager."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._step = ""

    def __call__(self, progress: Progress) -> None:
        if self._bar is None or progress.step != self._step:
            self.close()
            self._step = progress.step
            self._bar = tqdm(
                desc=progress.step,
                total=progress.total,
                unit=f" {progress.unit}",
                file=sys.stderr,
                # A log file wants a line now and then, not ten a second.
                mininterval=0.1 if sys.stderr.isatty() else 10,
            )
        self._bar.total = progress.total
        self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def __enter__(self) -> "TerminalProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
