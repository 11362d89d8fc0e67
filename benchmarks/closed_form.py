"""Closed-form seams against random ones on real networks, with no training step at all.

    python -m benchmarks.closed_form [--zoo ZOO.json] [--images IMAGES.npz] [--workspace FOLDER]

Cuts the zoo's networks in K = 4 (the exact partition, by MACs), draws random hybrids, and measures
top-1 with fitted and with random seams under the same ridge head; then the demo with either start. An
interrupted run goes on where it stopped. Writes the figures of docs/closed_form_seams.md. Without
arguments it reads ../shared/data and keeps its measurements in build/closed_form.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.closed_form_report import (
    CALIBRATED,
    CLOSED,
    DOCUMENT,
    FEWER,
    FIT,
    HYBRIDS,
    RAW,
    ROOT,
    SEEDS,
    STAGES,
    STARTS,
    TEST,
    Row,
    demo_summary,
    summary,
    write_figures,
)
from dery_core.data import Probe, load_task, preprocess
from dery_core.demo import DemoReport, run_demo
from dery_core.files import write_text
from dery_core.jobs import TrainingRun
from dery_core.partition import solve_partition
from dery_core.progress import ProgressFn, TerminalProgress, Ticker
from dery_core.reassembly import Candidates, Hybrid, HybridSpec, Seam, assemble, build_hybrid, candidates
from dery_core.reassembly.closed_form import Feed, calibrate, fit_closed_form, fit_head, fit_seams
from dery_core.similarity import similarity_table
from dery_core.training import RunSpec, Start, evaluate, train_run
from dery_core.training.loop import METRICS
from dery_core.training.seeds import shuffled
from dery_core.training.start import START_IMAGES
from dery_core.workspace import Workspace
from dery_core.zoo import Layout, LineGraph, Zoo, embedded_zoo, load_zoo, zoo_line_graph

DATA = ROOT.parent / "shared" / "data"
SIDE, BATCH = 96, 50


class Split:
    """One seed's images, `FIT` to fit on and `TEST` to test on, and what networks hold for them, each
    computed once."""

    def __init__(
        self, zoo: Zoo, graphs: dict[str, LineGraph], images: Tensor, labels: Tensor, seed: int
    ) -> None:
        rows = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
        parts = {"fit": rows[:FIT], "test": rows[FIT : FIT + TEST]}
        self.zoo, self.graphs, self.seed = zoo, graphs, seed
        self.images = {name: images[part] for name, part in parts.items()}
        self.labels = {name: labels[part] for name, part in parts.items()}
        self._known: dict[tuple[str, str, int], list[Tensor]] = {}

    @torch.no_grad()
    def at(self, part: str, name: str, cut: int) -> list[Tensor]:
        """Batches of what the network holds at a cut."""
        key = (part, name, cut)
        if key not in self._known:
            graph, model = self.graphs[name], self.zoo.model(name)
            nodes = nn.Sequential(*(node.module for node in graph.nodes[:cut])).eval()
            self._known[key] = [nodes(preprocess(x, model)) for x in self.images[part].split(BATCH)]
        return self._known[key]


@torch.no_grad()
def measure(split: Split, spec: HybridSpec, seams: str, images: int = FIT) -> Row:
    """Top-1 of a hybrid whose head is fitted on all `FIT` images, its closed-form seams on `images`.

    Random seams are "calibrated", their batch normalisation set from the images as the closed form's
    is, or "as made".
    """
    hybrid = assemble(spec, split.graphs, split.seed)
    first = spec.blocks[0]
    batches = images // BATCH
    feed = Feed(split.at("fit", first.model, first.end))
    r2: list[float | None] = []
    if seams == CLOSED:

        def own(name: str, cut: int) -> tuple[Layout, Iterable[Tensor]]:
            return split.graphs[name].layouts[cut], split.at("fit", name, cut)[:batches]

        few = feed if images == FIT else Feed(split.at("fit", first.model, first.end)[:batches])
        r2 = [fit.r2 for fit in fit_seams(hybrid, spec, few, own)]
        feed = few
    if seams != CLOSED or images != FIT:
        feed = Feed(split.at("fit", first.model, first.end))
        advance(hybrid, feed, seams == CALIBRATED)
    head = fit_head(hybrid, feed, split.labels["fit"])
    feed = Feed(split.at("test", first.model, first.end))
    advance(hybrid, feed)
    logits = torch.cat([hybrid.head(x) for x in feed])
    right = (logits.argmax(1) == split.labels["test"]).numpy()
    return {
        "top1": 100 * float(right.mean()),
        "right": "".join(map(str, right.astype(int))),
        "r2": r2,
        "penalty": head.penalty,
    }


def advance(hybrid: Hybrid, feed: Feed, calibrated: bool = False) -> None:
    """Take the feed from behind the first stage to behind the last."""
    for seam, stage in zip(hybrid.seams, hybrid.stages[1:], strict=True):
        if calibrated and isinstance(seam, Seam):
            calibrate(seam, feed)
        feed.then(seam, stage)


def drawn(models: int) -> list[tuple[int, ...]]:
    """Different random choices, of two models or more."""
    random = np.random.default_rng(0)
    choices: dict[tuple[int, ...], None] = {}
    while len(choices) < HYBRIDS:
        choice = tuple(random.integers(models, size=STAGES).tolist())
        if len(set(choice)) > 1:
            choices[choice] = None
    return list(choices)


def options_of(zoo: Zoo, task: str, classes: int, workspace: Workspace, report: ProgressFn) -> Candidates:
    table = similarity_table(zoo, zoo.names, Probe(task, 256, 0), workspace, report=report)
    return candidates(zoo, solve_partition(table, STAGES, 0.2, "macs"), classes, report=report)


def run(zoo: Zoo, task_name: str, state: Path, report: ProgressFn) -> tuple[Candidates, dict[str, Row]]:
    """All measurements, by "seed/choice/seams/images"."""
    task = load_task(task_name)
    images = torch.cat([task.train.images, task.test.images])
    labels = torch.cat([task.train.labels, task.test.labels])
    options = options_of(zoo, task_name, len(task.classes), Workspace.open(state.parent), report)
    graphs = {name: zoo_line_graph(zoo, name) for name in zoo.names}
    choices = drawn(len(zoo.names))
    known: dict[str, Row] = json.loads(state.read_text()) if state.exists() else {}
    own = [(i,) * STAGES for i in range(len(zoo.names))]
    todo = []
    for seed in SEEDS:
        todo += [(seed, choice, RAW, FIT) for choice in own]
        todo += [(seed, choice, seams, FIT) for seams in (CLOSED, CALIBRATED) for choice in choices]
    extras = [(RAW, FIT), *((CLOSED, few) for few in FEWER)]
    todo += [(SEEDS[0], choice, *extra) for extra in extras for choice in choices]
    tick = Ticker("Closed-form seams", len(todo), "measurements", report)
    splits: dict[int, Split] = {}
    for seed, choice, seams, count in todo:
        key = f"{seed}/{''.join(map(str, choice))}/{seams}/{count}"
        if key not in known:
            if seed not in splits:
                splits = {seed: Split(zoo, graphs, images, labels, seed)}
            known[key] = measure(splits[seed], options.spec(zoo, choice), seams, count)
            write_text(state, json.dumps(known))
        tick()
    return options, known


def run_demos(state: Path, report: ProgressFn) -> tuple[dict[Start, DemoReport], dict[str, list[Row]]]:
    """The demo by start, and by "start/seed" the learning curves of its hybrid, by "head/seed" and
    "seams/seed" what of its start is the head's and how well the seams fit."""
    zoo, workspace = embedded_zoo(), Workspace.open(state.parent)
    known: dict[str, Any] = json.loads(state.read_text()) if state.exists() else {}
    for start in STARTS:
        if start not in known:
            known[start] = run_demo(workspace, zoo, SEEDS[0], workers=1, report=report, start=start).to_dict()
            folder = Path(known[start]["hybrid"]["run"])
            known[f"{start}/{SEEDS[0]}"] = curve(folder)
            write_text(state, json.dumps(known))
    demos = {start: DemoReport.from_dict(known[start]) for start in STARTS}
    spec = TrainingRun(Path(demos[STARTS[0]].hybrid.run)).spec
    for seed in SEEDS[1:]:
        for start in STARTS:
            key = f"{start}/{seed}"
            if key not in known:
                folder = workspace.runs / key.replace("/", "-")
                train_run(replace(spec, start=start, seed=seed), folder, report)
                known[key] = curve(folder)
                write_text(state, json.dumps(known))
    for seed in SEEDS:
        for name, measured in (("head", head_alone), ("seams", seams_explain)):
            if f"{name}/{seed}" not in known:
                known[f"{name}/{seed}"] = [measured(spec, seed)]
                write_text(state, json.dumps(known))
    return demos, {key: rows for key, rows in known.items() if "/" in key}


@torch.no_grad()
def head_alone(spec: RunSpec, seed: int) -> Row:
    """Top-1 of a run's hybrid, untrained, with the closed form's head behind random, calibrated seams."""
    assert spec.hybrid is not None
    task, source = load_task(spec.task), spec.hybrid.source
    hybrid = build_hybrid(spec.hybrid, embedded_zoo(), seed)
    rows = shuffled(len(task.train), seed, 0)[:START_IMAGES]
    feed = Feed([hybrid.stages[0](preprocess(x, source)) for x in task.train.images[rows].split(BATCH)])
    advance(hybrid, feed, calibrated=True)
    fit_head(hybrid, feed, task.train.labels[rows])
    return {"top1": evaluate(hybrid, task.test, source)}


def seams_explain(spec: RunSpec, seed: int) -> Row:
    """R² of the seams of a run's hybrid, fitted as its closed-form start does."""
    assert spec.hybrid is not None
    train, zoo = load_task(spec.task).train, embedded_zoo()
    rows = shuffled(len(train), seed, 0)[:START_IMAGES]
    hybrid = build_hybrid(spec.hybrid, zoo, seed)
    fits = fit_closed_form(hybrid, spec.hybrid, zoo, train.images[rows], train.labels[rows]).seams
    return {"r2": [fit.r2 for fit in fits if fit.r2 is not None]}


def curve(folder: Path) -> list[Row]:
    """A run's epochs, the state before training first."""
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--zoo", type=Path, default=DATA / "real_zoo" / "zoo.json")
    parser.add_argument("--images", type=Path, default=DATA / "cifar10_4000.npz")
    parser.add_argument("--workspace", type=Path, default=ROOT / "build" / "closed_form")
    arguments = parser.parse_args()
    if not (arguments.zoo.is_file() and arguments.images.is_file()):
        print(f"{arguments.zoo} or {arguments.images} is not here: nothing is measured.", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    zoo = load_zoo(arguments.zoo)
    zoo = replace(zoo, models=tuple(replace(model, input_size=(3, SIDE, SIDE)) for model in zoo.models))
    with TerminalProgress() as report:
        real = run(zoo, f"npz:{arguments.images}", arguments.workspace / "real.json", report)
        demo = run_demos(arguments.workspace / "demo.json", report)
    write_figures(summary(*real), demo_summary(*demo))
    print(DOCUMENT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
