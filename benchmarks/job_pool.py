"""Jobs in worker processes, each under a time limit and all under one memory budget, with results
kept in a JSONL file so that an interrupted run goes on where it was."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from dery_core.progress import ProgressFn, Ticker

Result = dict[str, Any]

_LARGE = 2 * 2**30  # a process that held more keeps much of it when its job is done


@dataclass(frozen=True)
class Job:
    """`memory` is an estimate in bytes of what running it takes."""

    name: str
    memory: int = 0


class Cache:
    """Results by key in a JSONL file. The last line of a key counts; a half-written one is skipped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: dict[str, Result] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            self.results[entry["key"]] = entry["result"]

    def add(self, key: str, result: Result) -> None:
        self.results[key] = result
        with self.path.open("a") as file:
            file.write(json.dumps({"key": key, "result": result}) + "\n")


class _Worker:
    """A process that runs one job at a time."""

    def __init__(self, function: Callable[[str], Result]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, there = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(there, function), daemon=True)
        self.process.start()
        there.close()
        self.job: Job | None = None
        self.started = 0.0

    def give(self, job: Job) -> None:
        self.job, self.started = job, time.monotonic()
        self.connection.send(job.name)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, function: Callable[[str], Result]) -> None:
    import torch

    torch.set_num_threads(1)
    while True:
        connection.send(function(connection.recv()))


def run_jobs(
    jobs: Iterable[Job],
    function: Callable[[str], Result],
    done: Callable[[str, Result], None],
    *,
    workers: int,
    limit_s: float,
    memory: int,
    step: str,
    report: ProgressFn,
) -> None:
    """`done(name, function(name))` for every job, in the order in which they end.

    A job that takes longer than `limit_s`, or whose process dies, gives {"failure": sentence}. Jobs run
    side by side only while their estimates fit into `memory` bytes together; one that needs more
    than that runs alone.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the workers
    waiting = list(jobs)
    tick = Ticker(step, len(waiting), "networks", report)
    pool: list[_Worker] = []
    try:
        while waiting or any(worker.job for worker in pool):
            _hand_out(waiting, pool, function, workers, memory)
            busy = [worker for worker in pool if worker.job]
            ready = wait([worker.connection for worker in busy], timeout=1)
            for worker in busy:
                result = _collect(worker, worker.connection in ready, limit_s)
                if result is None:
                    continue
                assert worker.job is not None
                done(worker.job.name, result)
                tick()
                large = worker.job.memory > _LARGE
                worker.job = None
                if "failure" in result or large:
                    worker.stop()
                    pool.remove(worker)
    finally:
        for worker in pool:
            worker.stop()


def _hand_out(
    waiting: list[Job],
    pool: list[_Worker],
    function: Callable[[str], Result],
    workers: int,
    memory: int,
) -> None:
    while waiting:
        running = [worker.job for worker in pool if worker.job]
        job = _first_that_fits(waiting, memory - sum(job.memory for job in running), not running)
        if job is None or len(running) == workers:
            return
        idle = next((worker for worker in pool if not worker.job), None)
        if idle is None:
            pool.append(idle := _Worker(function))
        waiting.remove(job)
        idle.give(job)


def _first_that_fits(waiting: Sequence[Job], free: int, alone: bool) -> Job | None:
    return next((job for job in waiting if job.memory <= free), waiting[0] if alone else None)


def _collect(worker: _Worker, ready: bool, limit_s: float) -> Result | None:
    if ready:
        try:
            result: Result = worker.connection.recv()
            return result
        except EOFError:
            return {"failure": "its process died, as when memory runs out"}
    if time.monotonic() - worker.started > limit_s:
        return {"failure": f"it took longer than {limit_s:.0f} s"}
    return None
