"""`Run`: one piece of long work and its directory, which is the truth about it.

A run's directory holds `spec.json` (with its kind), `status.json`, `progress.json`, `log.txt` and,
when finished, `result.json`; what else it holds is its kind's to say.
"""

import fcntl
import json
import os
import shutil
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

from dery_core.errors import Cancelled, DeryError
from dery_core.files import write_text
from dery_core.jobs.process import ProcessId, launch
from dery_core.jobs.status import RunStatus
from dery_core.progress import Progress, ProgressFn, silent
from dery_core.training.loop import RESULT, never
from dery_core.values import Value, read_json

SPEC, STATUS, PROGRESS, LOG, LOCK = "spec.json", "status.json", "progress.json", "log.txt", ".lock"
KIND = "kind"
GRACE = 5.0
_PROGRESS_EVERY = 0.3
_LOOK_EVERY = 0.3

Kind = Literal["training", "scoring"]
S = TypeVar("S", bound=Value)
R = TypeVar("R", bound=Value)


@dataclass(frozen=True)
class Run(ABC, Generic[S, R]):
    """One run by its directory. Whatever it tells is read from there at that moment.

    A kind of run says what its specification and result are, what is counted in it, and does the work.
    """

    path: Path

    kind: ClassVar[Kind]
    unit: ClassVar[str]
    spec_type: ClassVar[type[Value]]
    result_type: ClassVar[type[Value]]

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def spec(self) -> S:
        """What the run does; DeryError when the file can't be read."""
        data = read_json(self.path / SPEC)
        if isinstance(data, dict):
            data.pop(KIND, None)
        return self.spec_type.from_dict(data, str(self.path / SPEC))  # type: ignore[return-value]

    @property
    @abstractmethod
    def threads(self) -> int:
        """CPU threads of the process."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What lists call it."""

    @abstractmethod
    def _work(self, report: ProgressFn, stop: Callable[[], bool]) -> R:
        """Do it, or what is left of it, and save the result; Cancelled when `stop` says so."""

    @abstractmethod
    def _after(self, status: RunStatus) -> str:
        """How far it came, as the end of a sentence."""

    def status(self) -> RunStatus:
        """The run's state now. A process that is gone without finishing makes it `interrupted`,
        a directory that can't be read `damaged`; neither raises."""
        try:
            _ = self.spec
            status = self._read_status()
            if status.state == "finished":
                self.result()
            if status.active and not (status.process and status.process.alive):
                # Read again: the process may have finished between the two looks.
                status = self._read_status()
                if status.active and not (status.process and status.process.alive):
                    message = f"The process ended before the run did: resume it {self._after(status)}."
                    status = replace(status, state="interrupted", message=message)
        except DeryError as error:
            return RunStatus("damaged", 0, _modified(self.path), _modified(self.path), message=str(error))
        return status

    def progress(self) -> Progress | None:
        """What a running run is doing now, with rate and estimate; None before it has told."""
        path = self.path / PROGRESS
        try:
            return Progress(**read_json(path)) if path.exists() else None
        except (DeryError, TypeError):
            return None

    def result(self) -> R | None:
        """The outcome of a finished run; None until then."""
        path = self.path / RESULT
        return self.result_type.load(path) if path.exists() else None  # type: ignore[return-value]

    def log(self, characters: int = 50_000) -> str:
        """The end of the run's log."""
        path = self.path / LOG
        if not path.exists():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - characters))
            return file.read().decode("utf-8", errors="replace")

    def say(self, text: str) -> None:
        """Append a line to the log."""
        with suppress(OSError), (self.path / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def start(self) -> None:
        """Begin in a process of its own, which outlives this one. DeryError unless queued."""
        self._launch(("queued",), "started")

    def resume(self) -> None:
        """Go on after what was finished, in a process of its own. DeryError unless the run failed,
        was cancelled or was interrupted."""
        self._launch(("failed", "cancelled", "interrupted"), "resumed")

    def run_here(self, report: ProgressFn = silent, stop: Callable[[], bool] = never) -> R:
        """Do the work in this process, from the start or after what was finished.

        The status tells how it ended. Raises what the work raises (Cancelled when `stop` or `report`
        ended it), and DeryError when the run is finished or another process is at work on it.
        """
        me = ProcessId.of(os.getpid())
        with self._locked():
            status = self.status()
            mine = status.active and status.process == me
            if not (status.state == "queued" or status.resumable or mine):
                raise DeryError(f"The run {self.id} can't be started: it is {status.state}.{_tail(status)}")
            self._begin(status, me)
        try:
            result = self._work(self._recorder(report), stop)
        except (Cancelled, KeyboardInterrupt):
            self._end("cancelled", f"Cancelled {self._after(self._read_status())}.")
            raise
        except DeryError as error:
            self._end("failed", str(error))
            raise
        except Exception as error:
            self.say(traceback.format_exc())
            what = str(error).strip().split("\n")[0]
            self._end(
                "failed", f"An unexpected error ended the run ({type(error).__name__}: {what}): see its log."
            )
            raise
        self._end("finished", "")
        return result

    def cancel(self, grace: float = GRACE) -> None:
        """Stop the run; what was finished stays. The process gets `grace` seconds to end by
        itself, then it is killed with whatever it started."""
        with self._locked():
            status = self.status()
            if status.state == "queued":
                self._write(replace(status, state="cancelled", message="Cancelled before it began."))
                return
        if not status.active or status.process is None:
            raise DeryError(f"The run {self.id} can't be cancelled: it is {status.state}.")
        if not status.process.leads_session:
            raise DeryError(
                f"The run {self.id} is part of another program (process {status.process.pid}): stop it there."
            )
        if not status.process.stop(grace):
            raise DeryError(
                f"The process {status.process.pid} of the run {self.id} can't be killed: try again."
            )
        with self._locked():
            status = self._read_status()
            if status.active:
                message = f"Cancelled {self._after(status)}."
                self._write(replace(status, state="cancelled", message=message))

    def follow(self, report: ProgressFn = silent) -> R:
        """Wait until the run has ended, passing its progress on, and return its result.

        An exception of `report` ends the waiting, not the run. Raises Cancelled when the run was
        cancelled, DeryError when it failed, was interrupted, or isn't running.
        """
        while (status := self.status()).active:
            waited = time.time() - (status.started or status.created)
            report(self.progress() or Progress("Starting a process", 0, 1, "process", waited))
            time.sleep(_LOOK_EVERY)
        if status.state == "cancelled":
            raise Cancelled
        result = self.result() if status.state == "finished" else None
        if result is None:
            raise DeryError(f"The run {self.id} is {status.state}.{_tail(status)}")
        return result

    def delete(self) -> None:
        """Remove the run and all it holds. DeryError while it is running."""
        if self.status().active:
            raise DeryError(f"The run {self.id} is running: cancel it before deleting it.")
        # Renamed first, so that no half-removed run is ever listed.
        doomed = self.path.with_name(f".{self.id}.deleted")
        try:
            self.path.rename(doomed)
            shutil.rmtree(doomed)
        except OSError as error:
            raise DeryError(f"The run {self.path} can't be deleted ({error.strerror or error}).") from error

    def _launch(self, allowed: tuple[str, ...], verb: str) -> None:
        with self._locked():
            status = self.status()
            if status.state not in allowed:
                raise DeryError(f"The run {self.id} can't be {verb}: it is {status.state}.{_tail(status)}")
            threads = str(self.threads)
            try:
                process = launch(
                    [sys.executable, "-m", "dery_core.jobs.worker", str(self.path)],
                    self.path / LOG,
                    {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
                )
            except OSError as error:
                raise DeryError(
                    f"The run {self.id} can't be {verb} ({error.strerror or error}): "
                    "free some space or memory and try again."
                ) from error
            # The worker waits for the lock before it writes, so its word comes after this one.
            self._begin(status, process)

    def _begin(self, status: RunStatus, process: ProcessId) -> None:
        now = time.time()
        (self.path / PROGRESS).unlink(missing_ok=True)
        self._write(replace(status, state="running", process=process, started=now, message=""))

    def _end(self, state: str, message: str) -> None:
        self.say(f"Run {state}. {message}".strip())
        self._update(state=state, message=message)

    def _update(self, **changes: Any) -> None:
        with self._locked():
            self._write(replace(self._read_status(), **changes))

    def _recorder(self, report: ProgressFn) -> ProgressFn:
        """`report`, with what it is told also written to the directory, a few times a second."""
        written = 0.0

        def record(progress: Progress) -> None:
            nonlocal written
            if time.monotonic() - written >= _PROGRESS_EVERY or progress.done == progress.total:
                write_text(self.path / PROGRESS, json.dumps(asdict(progress)))
                written = time.monotonic()
            report(progress)

        return record

    def _read_status(self) -> RunStatus:
        return RunStatus.load(self.path / STATUS)

    def _write(self, status: RunStatus) -> None:
        replace(status, updated=time.time()).save(self.path / STATUS)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the run's lock: one process at a time changes the status."""
        try:
            file = (self.path / LOCK).open("w")
        except FileNotFoundError as error:
            raise DeryError(f"The run {self.id} doesn't exist any more.") from error
        except OSError as error:
            raise DeryError(f"The run {self.path} can't be written ({error.strerror}).") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _tail(status: RunStatus) -> str:
    return f" {status.message}" if status.message else ""


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
