"""`Run`: one fine-tune and its directory, which is the truth about it.

A run's directory holds `spec.json`, `status.json`, `metrics.jsonl` (one line an epoch),
`progress.json`, `log.txt`, the checkpoints and, when finished, `result.json` and `weights/`.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dery_core.errors import Cancelled, DeryError
from dery_core.files import read_text, user_path, write_text
from dery_core.jobs.process import ProcessId, launch
from dery_core.jobs.status import RunStatus
from dery_core.progress import Progress, ProgressFn, silent
from dery_core.training import EpochMetrics, Result, RunSpec, resolve_device, train_run
from dery_core.training.loop import METRICS, RESULT, WEIGHTS, never
from dery_core.values import read_json
from dery_core.workspace import Workspace

SPEC, STATUS, PROGRESS, LOG, LOCK = "spec.json", "status.json", "progress.json", "log.txt", ".lock"
GRACE = 5.0
_PROGRESS_EVERY = 0.3


@dataclass(frozen=True)
class Run:
    """One run by its directory. Whatever it tells is read from there at that moment."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def spec(self) -> RunSpec:
        return RunSpec.load(self.path / SPEC)

    @property
    def weights(self) -> Path:
        """Where the trained weights are once the run is finished."""
        return self.path / WEIGHTS

    def status(self) -> RunStatus:
        """The run's state now. A process that is gone without finishing makes it `interrupted`,
        a directory that can't be read `damaged`; neither raises."""
        try:
            RunSpec.load(self.path / SPEC)
            status = self._read_status()
            if status.state == "finished":
                Result.load(self.path / RESULT)
            if status.active and not (status.process and status.process.alive):
                # Read again: the process may have finished between the two looks.
                status = self._read_status()
                if status.active and not (status.process and status.process.alive):
                    message = f"The process ended before the run did: resume it after epoch {status.epoch}."
                    status = replace(status, state="interrupted", message=message)
        except DeryError as error:
            return RunStatus("damaged", 0, _modified(self.path), _modified(self.path), message=str(error))
        return status

    def metrics(self) -> list[dict[str, Any]]:
        """One row an epoch, from epoch 0 (before training): epoch, top1, loss, learning_rate, seconds."""
        path = self.path / METRICS
        if not path.exists():
            return []
        try:
            rows = [json.loads(line) for line in read_text(path).splitlines()]
            return [asdict(EpochMetrics.from_dict(row, str(path))) for row in rows]
        except json.JSONDecodeError as error:
            raise DeryError(f"{path} is damaged: resume the run to write it anew, or delete it.") from error

    def progress(self) -> Progress | None:
        """What a running run is doing now, with rate and estimate; None before it has told."""
        path = self.path / PROGRESS
        try:
            return Progress(**read_json(path)) if path.exists() else None
        except (DeryError, TypeError):
            return None

    def result(self) -> Result | None:
        """The outcome of a finished run; None until then."""
        path = self.path / RESULT
        return Result.load(path) if path.exists() else None

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
        """Train in a process of its own, which outlives this one. DeryError unless queued."""
        self._launch(("queued",), "started")

    def resume(self) -> None:
        """Go on after the last checkpoint, in a process of its own. DeryError unless the run
        failed, was cancelled or was interrupted."""
        self._launch(("failed", "cancelled", "interrupted"), "resumed")

    def run_here(self, report: ProgressFn = silent, stop: Callable[[], bool] = never) -> Result:
        """Train in this process, from the start or from the last checkpoint.

        The status tells how it ended. Raises what `train_run` raises, and DeryError when the run
        is finished or another process is at work on it.
        """
        me = ProcessId.of(os.getpid())
        with self._locked():
            status = self.status()
            mine = status.active and status.process == me
            if not (status.state == "queued" or status.resumable or mine):
                raise DeryError(f"The run {self.id} can't be started: it is {status.state}.{_tail(status)}")
            self._begin(status, me)
        try:
            result = train_run(
                self.spec,
                self.path,
                self._recorder(report),
                stop,
                epoch_done=self._epoch_done,
                say=self.say,
            )
        except (Cancelled, KeyboardInterrupt):
            self._end("cancelled", f"Cancelled after epoch {self._read_status().epoch}.")
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
        """Stop the run; its last checkpoint stays. The process gets `grace` seconds to end by
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
                message = f"Cancelled after epoch {status.epoch}."
                self._write(replace(status, state="cancelled", message=message))

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
            threads = str(self.spec.threads)
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

    def _epoch_done(self, metrics: EpochMetrics) -> None:
        loss = "" if metrics.loss is None else f", loss {metrics.loss:.4f}"
        self.say(f"Epoch {metrics.epoch}: top-1 {metrics.top1:.2f} %{loss}, {metrics.seconds:.1f} s")
        self._update(epoch=metrics.epoch)

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


def _absolute(path: str) -> str:
    return str(user_path(path))


def _tail(status: RunStatus) -> str:
    return f" {status.message}" if status.message else ""


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def create_run(workspace: Workspace, spec: RunSpec) -> Run:
    """A new run, queued, in the workspace: `start` or `run_here` begins it.

    Its id tells when it was made and what is trained, e.g. 20261121-142233-hybrid-frozen-ab12.
    Raises DeryError when this machine lacks the device or the workspace can't be written.
    """
    resolve_device(spec.device)
    # The run may be resumed from another working directory.
    kind, colon, place = spec.task.partition(":")
    task = f"{kind}:{_absolute(place)}" if colon else spec.task
    spec = replace(spec, zoo=_absolute(spec.zoo), task=task)
    subject = re.sub(r"[^a-z0-9]+", "-", (spec.member.name if spec.member else "hybrid").lower()).strip("-")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    run = Run(workspace.runs / f"{stamp}-{subject}-{spec.protocol}-{secrets.token_hex(2)}")
    # Made under a hidden name, so that a half-made run is never listed.
    draft = run.path.with_name(f".{run.id}.draft")
    now = time.time()
    spec.save(draft / SPEC)
    RunStatus("queued", spec.recipe.epochs, now, now).save(draft / STATUS)
    draft.rename(run.path)
    return run


def list_runs(workspace: Workspace) -> list[Run]:
    """All runs of the workspace, the newest first; ask each for its `status`, which may be damaged."""
    try:
        folders = [path for path in workspace.runs.iterdir() if path.is_dir() and path.name[0] != "."]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DeryError(f"{workspace.runs} can't be read ({error.strerror}).") from error
    return sorted(map(Run, folders), key=lambda run: (run.status().created, run.id), reverse=True)


def find_run(workspace: Workspace, run_id: str) -> Run:
    """The run with this id or with the only id that begins so; DeryError when there is none or
    several."""
    runs = {run.id: run for run in list_runs(workspace)}
    matches = [run_id] if run_id in runs else [name for name in runs if run_id and name.startswith(run_id)]
    if len(matches) == 1:
        return runs[matches[0]]
    if matches:
        raise DeryError(f"Several runs begin with '{run_id}': {', '.join(matches[:3])}. Give more of the id.")
    raise DeryError(f"There is no run '{run_id}' in {workspace.runs}: `dery runs list` shows them.")
