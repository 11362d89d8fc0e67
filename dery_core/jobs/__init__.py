"""Runs: a directory each, a detached worker process, status, metrics, log, cancel, resume."""

from dery_core.jobs.pool import run_all
from dery_core.jobs.run import Run, create_run, find_run, list_runs
from dery_core.jobs.status import RunStatus, State

__all__ = ["Run", "RunStatus", "State", "create_run", "find_run", "list_runs", "run_all"]
