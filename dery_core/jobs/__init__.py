"""Runs, of two kinds, trainings and scorings: a directory each, a detached worker process, status,
progress, log, cancel, resume."""

from dery_core.jobs.pool import run_all
from dery_core.jobs.run import Kind, Run
from dery_core.jobs.scored import begin_scoring, scores_of
from dery_core.jobs.scoring import ScoringResult, ScoringRun, ScoringSpec
from dery_core.jobs.status import RunStatus, State
from dery_core.jobs.store import create_run, find_run, list_runs, open_run
from dery_core.jobs.training import TrainingRun

__all__ = [
    "Kind",
    "Run",
    "RunStatus",
    "ScoringResult",
    "ScoringRun",
    "ScoringSpec",
    "State",
    "TrainingRun",
    "begin_scoring",
    "create_run",
    "find_run",
    "list_runs",
    "open_run",
    "run_all",
    "scores_of",
]
