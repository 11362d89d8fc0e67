"""Many fine-tunes for the reports: each trained in a temporary folder, its figures kept as a line of JSON."""

import json
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from benchmarks.job_pool import Cache, Job, Result, run_jobs
from dery_core.errors import DeryError
from dery_core.progress import ProgressFn
from dery_core.reassembly import HybridSpec
from dery_core.training import Protocol, Recipe, RunSpec, Start, train_run
from dery_core.training.loop import METRICS
from dery_core.zoo import Zoo, ZooModel

LIMIT_S = 1800.0
_MEMORY = 2**30  # what one training takes at most, estimated


def fine_tune(
    subject: HybridSpec | ZooModel,
    zoo: Zoo,
    task: str,
    protocol: Protocol,
    epochs: int,
    seed: int,
    start: Start = "closed-form",
) -> RunSpec:
    """A subject's run by the product's own recipe and, by default, start."""
    if isinstance(subject, HybridSpec):
        subject = replace(subject, score=None)  # a score makes no other run
        name, hybrid, member = "hybrid", subject, None
    else:
        name, hybrid, member = subject.name, None, subject
    recipe = Recipe.default(protocol, epochs)
    return RunSpec(name, str(zoo.path), task, hybrid, member, protocol, recipe, seed, start=start)


def train_all(runs: Iterable[tuple[str, RunSpec]], state: Path, workers: int, report: ProgressFn) -> Cache:
    """The results of `runs` (key, specification) by key. Those that the file `state` has aren't repeated; a
    run that failed is in it as {"failure": sentence} and is tried again."""
    cache = Cache(state)
    done = {key for key, result in cache.results.items() if "failure" not in result}
    keys = {json.dumps(spec.to_dict()): key for key, spec in runs if key not in done}
    run_jobs(
        [Job(text, _MEMORY) for text in keys],
        _train,
        lambda text, result: cache.add(keys[text], result),
        workers=workers,
        limit_s=LIMIT_S,
        memory=workers * _MEMORY,
        step="Trainings",
        report=report,
    )
    return cache


def _train(text: str) -> Result:
    spec = RunSpec.from_dict(json.loads(text))
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = train_run(spec, Path(folder))
        except DeryError as error:
            return {"failure": str(error)}
        epochs = [json.loads(line) for line in (Path(folder) / METRICS).read_text().splitlines()]
    return {
        "top1": result.top1,
        "curve": [epoch["top1"] for epoch in epochs],
        "params": result.params,
        "macs": result.macs,
        "trainable_params": result.trainable_params,
        "start": result.start,
        "seconds": round(result.seconds, 2),
    }
