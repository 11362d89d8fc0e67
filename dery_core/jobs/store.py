"""The runs of a workspace: made, listed, found."""

import json
import re
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, overload

from dery_core.errors import DeryError
from dery_core.files import user_path, write_text
from dery_core.jobs.run import KIND, SPEC, STATUS, Run
from dery_core.jobs.scoring import ScoringRun, ScoringSpec
from dery_core.jobs.status import RunStatus
from dery_core.jobs.training import TrainingRun
from dery_core.training import RunSpec, resolve_device
from dery_core.values import read_json
from dery_core.workspace import Workspace

T = TypeVar("T", bound=RunSpec | ScoringSpec)


@overload
def create_run(workspace: Workspace, spec: RunSpec) -> TrainingRun: ...
@overload
def create_run(workspace: Workspace, spec: ScoringSpec) -> ScoringRun: ...
def create_run(workspace: Workspace, spec: RunSpec | ScoringSpec) -> Run:
    """A new run, queued, in the workspace: `start` or `run_here` begins it.

    Its id tells when it was made and what it does, e.g. 20261121-142233-hybrid-frozen-ab12.
    Raises DeryError when this machine lacks the device or the workspace can't be written.
    """
    spec = absolute(spec)
    run: Run
    if isinstance(spec, RunSpec):
        resolve_device(spec.device)
        subject = spec.member.name if spec.member else "hybrid"
        run, total = TrainingRun(_new(workspace, subject, spec.protocol)), spec.recipe.epochs
    else:
        run, total = ScoringRun(_new(workspace, spec.score, "scoring")), 0
    # Made under a hidden name, so that a half-made run is never listed.
    draft = run.path.with_name(f".{run.id}.draft")
    now = time.time()
    write_text(draft / SPEC, json.dumps({KIND: run.kind, **spec.to_dict()}, indent=1) + "\n")
    RunStatus("queued", total, now, now).save(draft / STATUS)
    draft.rename(run.path)
    return run


def absolute(spec: T) -> T:
    """The specification with whole paths: a run may be resumed from another working directory."""
    kind, colon, place = spec.task.partition(":")
    task = f"{kind}:{user_path(place)}" if colon else spec.task
    return replace(spec, zoo=str(user_path(spec.zoo)), task=task)


def _new(workspace: Workspace, *words: str) -> Path:
    """A new run's directory, named after the time and what the run does."""
    said = "-".join(re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in words)
    return workspace.runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{said}-{secrets.token_hex(2)}"


def open_run(path: Path) -> Run:
    """The run in a directory; whether it can be read is its `status` to tell."""
    try:
        data: Any = read_json(path / SPEC)
    except DeryError:
        data = None
    # A specification that doesn't tell its kind is of an earlier version, which knew trainings alone.
    scoring = isinstance(data, dict) and data.get(KIND) == ScoringRun.kind
    return ScoringRun(path) if scoring else TrainingRun(path)


def list_runs(workspace: Workspace) -> list[Run]:
    """All runs of the workspace, the newest first; ask each for its `status`, which may be damaged."""
    try:
        folders = [path for path in workspace.runs.iterdir() if path.is_dir() and path.name[0] != "."]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DeryError(f"{workspace.runs} can't be read ({error.strerror}).") from error
    return sorted(map(open_run, folders), key=lambda run: (run.status().created, run.id), reverse=True)


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
