"""How long work tells what it has done: with a rate and an estimate, in terminal and page."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from tqdm import tqdm

from dery_core.units import duration, quantity


@dataclass(frozen=True)
class Progress:
    """One report of a long step. `seconds` is the time since the step began, `note` what else is to be
    said of how it stands.

    The unit "B" is for bytes: they are shown as MB and the like.
    """

    step: str
    done: int
    total: int
    unit: str
    seconds: float
    note: str = ""

    @property
    def rate(self) -> float | None:
        """Units a second so far, None before the first unit."""
        return self.done / self.seconds if self.done and self.seconds > 0 else None

    @property
    def remaining(self) -> float | None:
        """Estimated seconds to go, None before the first unit."""
        rate = self.rate
        return None if rate is None else (self.total - self.done) / rate

    @property
    def amount(self) -> str:
        """How much is done, "3/12 models" or "12.3 MB/46.8 MB"."""
        if self.unit == "B":
            return f"{_bytes(self.done)}/{_bytes(self.total)}"
        return f"{self.done}/{self.total} {self.unit}"

    @property
    def speed(self) -> str:
        """The rate with its unit, "0.5 models/s" or "2.3 MB/s"; "" before the first unit."""
        if self.rate is None:
            return ""
        if self.unit == "B":
            return f"{_bytes(self.rate)}/s"
        return f"{self.rate:,.0f} {self.unit}/s" if self.rate >= 100 else f"{self.rate:.3g} {self.unit}/s"

    def __str__(self) -> str:
        text = f"{self.step}: {self.amount}" + (f", {self.note}" if self.note else "")
        if self.remaining is None:
            return text
        return f"{text}, {self.speed}, {duration(self.remaining)} to go"


def _bytes(count: float) -> str:
    text = quantity(count)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


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
        self.note = ""
        self.started = time.monotonic()
        self._send()

    def __call__(self, units: int = 1, note: str = "") -> None:
        self.done += units
        self.note = note or self.note
        self._send()

    def _send(self) -> None:
        seconds = time.monotonic() - self.started
        self.report(Progress(self.step, self.done, self.total, self.unit, seconds, self.note))


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
                unit="B" if progress.unit == "B" else f" {progress.unit}",
                unit_scale=progress.unit == "B",
                file=sys.stderr,
                # A log file wants a line now and then, not ten a second.
                mininterval=0.1 if sys.stderr.isatty() else 10,
            )
        self._bar.total = progress.total
        self._bar.set_postfix_str(progress.note, refresh=False)
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
