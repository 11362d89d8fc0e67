"""The engine's steps as pages use them: found in the workspace or begun in the background.

Each slow step returns `(work, key)`: hand both to `app.components.waiting.result_of`.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import launcher, state, work
from app.assembly import Assembly
from app.frames import graph_frame, joined, run_frame
from app.proof import Blocks, Cutting
from app.work import Work
from dery_core.data import TARGET_TASK as EMBEDDED_TARGET
from dery_core.data import Probe, fitted, load_task, task_names
from dery_core.errors import DeryError
from dery_core.files import digest
from dery_core.jobs import Run, ScoringSpec, create_run, list_runs, scores_of
from dery_core.partition import Partition
from dery_core.progress import ProgressFn, Ticker
from dery_core.reassembly import Budget, Candidates, HybridSpec, members_within
from dery_core.scoring import DEFAULT_SCORE
from dery_core.similarity import MEASURES, Comparison, SimilarityTable, similarity_table
from dery_core.training import Protocol, Recipe, RunSpec, Start
from dery_core.training.loop import WEIGHTS
from dery_core.workspace import Workspace
from dery_core.zoo import (
    Zoo,
    ZooModel,
    default_zoo,
    family,
    member_cost,
    own_zoo_path,
    zoo_line_graph,
)

TARGET_TASK = os.environ.get("DERY_TASK") or EMBEDDED_TARGET
PROBE_IMAGES = 256
SCORE_IMAGES: int | None = None
"""Images that scores are measured on; None: as many as the score asks for."""
PRICED = 4
SAMPLES = 8
EPOCHS = Recipe().epochs

Step = tuple[Work, Hashable]


@dataclass(frozen=True)
class Samples:
    """A few images of a task: `images` uint8 (H, W, 3), one label each."""

    title: str
    classes: tuple[str, ...]
    images: tuple[np.ndarray, ...]
    labels: tuple[str, ...]
    remark: str = ""

    @property
    def more(self) -> bool:
        """Whether there are classes without a picture here."""
        return len(self.images) < len(self.classes)


def workspace() -> Workspace:
    """The workspace of this server: $DERY_HOME, or ~/.dery."""
    return Workspace.open()


def zoo() -> Zoo:
    """The zoo in use, read anew when one of its files changed or the workspace got its own."""
    place = workspace()
    key = (os.environ.get("DERY_ZOO"), str(place.root))
    known, seen = _zoos.get(key, (None, None))
    if known is None or seen != _changed(known, place):
        known = default_zoo(place)
        _zoos[key] = (known, _changed(known, place))
    return known


_zoos: dict[Hashable, tuple[Zoo, list[int]]] = {}


def _changed(zoo: Zoo, workspace: Workspace) -> list[int]:
    """When the files that tell which networks there are were changed, 0 for one that isn't there."""
    files = (*zoo.files, own_zoo_path(workspace))
    return [file.stat().st_mtime_ns if file.is_file() else 0 for file in files]


def with_costs(zoo: Zoo) -> Zoo:
    """The zoo with the parameters and MACs that its file doesn't tell, as far as `counting` has come."""
    return replace(zoo, models=tuple(map(_with_cost, zoo.models)))


def counting(zoo: Zoo) -> Work[None] | None:
    """The work that counts what the zoo's file doesn't tell; None where nothing is left to count.

    A network for 224 pixels takes seconds to build and run: no page may wait for it.
    """
    left = [model for model in zoo.models if _untold(model) and digest(model) not in _counted]
    if not left:
        return None

    def make(report: ProgressFn) -> None:
        tick = Ticker("Costs", len(left), "networks", report)
        for model in left:
            try:
                cost = member_cost(model, model.model_kwargs.get("num_classes", 1000))
            except DeryError:  # whoever compares this network is told why
                cost = None
            _counted[digest(model)] = cost
            tick()

    return work.start(("costs", digest(*left)), make)


_counted: dict[str, tuple[int, int] | None] = {}


def _untold(model: ZooModel) -> bool:
    return model.params is None or model.macs is None


def _with_cost(model: ZooModel) -> ZooModel:
    cost = _counted.get(digest(model)) if _untold(model) else None
    if cost is None:
        return model
    return replace(
        model,
        params=cost[0] if model.params is None else model.params,
        macs=cost[1] if model.macs is None else model.macs,
    )


@dataclass(frozen=True, eq=False)
class Inside:
    """A network's line graph as `app.frames.graph_frame` gives it, or the sentence that refuses it."""

    nodes: pd.DataFrame | None
    refusal: str = ""


def inside(zoo: Zoo, name: str) -> Step:
    """One network cut into its line graph, with the exactness check."""
    key = ("inside", _origin(zoo, (name,)))

    def make(report: ProgressFn) -> Inside:
        Ticker("Building, cutting, checking", 1, "network", report)
        try:
            return Inside(graph_frame(zoo_line_graph(zoo, name)))
        except DeryError as error:
            return Inside(None, str(error))

    return work.start(key, make), key


def check_address() -> None:
    """Leave out members and the run that the address names and nobody knows, and say so."""
    with suppress(DeryError):
        source, named = zoo(), state.get("members")
        unknown = [f"'{state.plain(name)}'" for name in named if name not in source.names]
        if unknown:
            state.leave_out("members", tuple(name for name in named if name in source.names))
            state.note(f"No network {joined(unknown[:3])} in this zoo; left out.")
        look = state.get("look")
        if look is not None and look not in source.names:
            state.leave_out("look", None)
            state.note(f"No network '{state.plain(look)}' to look into in this zoo; left out.")
    with suppress(DeryError):
        run = state.get("run")
        if run is not None and run not in {known.id for known in runs()}:
            state.leave_out("run", None)
            state.note(f"No run '{state.plain(run)}' in this workspace; left out.")


def members(zoo: Zoo) -> tuple[str, ...]:
    """The chosen members, in the zoo's order; names the zoo doesn't know are left out."""
    return tuple(name for name in zoo.names if name in state.get("members"))


def suggested(zoo: Zoo) -> tuple[str, ...]:
    """Four members to begin with, of four families and one source task if that can be: networks
    that learned the same agree the most. The task whose fourth-best family is the most accurate.
    With too few families the most accurate others fill up, in the zoo's order where none is known."""
    best: dict[str, dict[str, tuple[float, str]]] = defaultdict(dict)
    for model in zoo.models:
        entry = (model.top1 or 0.0, model.name)
        families = best[model.source_task]
        families[family(model)] = max(families.get(family(model), entry), entry)
    fours = [sorted(families.values(), reverse=True)[:4] for families in best.values()]
    four = max(fours, key=lambda entries: (len(entries), entries[-1]))
    ranked = sorted(zoo.models, key=lambda model: -(model.top1 or 0.0))
    chosen = list(dict.fromkeys([name for _, name in four] + [model.name for model in ranked]))[:4]
    return tuple(name for name in zoo.names if name in chosen)


def probe() -> Probe:
    """The images that networks are compared on; the target task's unless chosen otherwise."""
    return Probe(state.get("probe") or TARGET_TASK, PROBE_IMAGES)


def probe_titles(zoo: Zoo) -> dict[str, str]:
    """Tasks whose images networks can be compared on, with what they are to be called."""
    embedded = task_names()
    sources = [model.source_task for model in zoo.models if model.source_task in embedded]
    titles = {task: task for task in (TARGET_TASK, *sources, probe().task)}
    return titles | {TARGET_TASK: f"{TARGET_TASK} (the target)"}


def choose_probe(task: str) -> None:
    """Compare networks on the images of `task` from now on."""
    st.session_state["probe"] = None if task == TARGET_TASK else task
    state.publish()


def target_task() -> str:
    """Name of the task hybrids are fine-tuned on."""
    return TARGET_TASK


def samples(task_name: str) -> Work[Samples]:
    """The first test image of several classes of a task: drawn, read or even downloaded."""
    return work.start(("samples", task_name), lambda report: _samples(task_name))


def _samples(task_name: str) -> Samples:
    task = load_task(task_name)
    labels = task.test.labels.tolist()
    shown = [labels.index(c) for c in range(len(task.classes)) if c in labels][:SAMPLES]
    return Samples(
        title=task.title,
        classes=task.classes,
        images=tuple(task.test.images[i].permute(1, 2, 0).numpy() for i in shown),
        labels=tuple(task.classes[labels[i]] for i in shown),
        remark=", where hybrids are fine-tuned" if task_name == TARGET_TASK else "",
    )


def table(names: tuple[str, ...]) -> Step:
    """How alike the named members are at all their cuts, by the measure chosen."""
    source = zoo()
    images, how = probe(), comparison()
    key = _key("table", source, names)

    def make(report: ProgressFn) -> SimilarityTable:
        return similarity_table(source, names, fitted(images), workspace(), how, report=report)

    return work.start(key, make), key


def comparison() -> Comparison:
    """By what networks are compared. Measures without an unbiased form are taken as they are."""
    measure = state.get("measure")
    return Comparison(measure=measure, unbiased=state.get("unbiased") and MEASURES[measure].debiased)


def cutting() -> Cutting:
    """What is chosen on the Partition page."""
    return Cutting(state.get("k"), state.get("epsilon"), state.get("size"), state.get("variant"))


def blocks(names: tuple[str, ...], how: Cutting) -> Blocks:
    """The blocks that the named members are cut into: their answer, their proof, what is known of them."""
    source, place = zoo(), workspace()
    return Blocks(
        key=_key("partition", source, names, how),
        how=how,
        workspace=place,
        origin=(str(place.root), str(source.path)),
        compare=lambda: table(names)[0],
    )


def assembly(names: tuple[str, ...], parts: Partition, score: str = DEFAULT_SCORE) -> Step:
    """Everything the Reassemble page needs that is slow: costs and `score` of the hybrids of `parts`.

    Scores that are missing are measured by a run where that takes long: leaving the page, or the server's
    end, doesn't stop it, and whoever comes next follows it. Stopped, it stays so until it is tried again.
    """
    source = zoo()
    key = assembly_key(names, parts, score)

    def make(report: ProgressFn) -> Assembly:
        spec = ScoringSpec(str(source.path), TARGET_TASK, parts, score, SCORE_IMAGES)
        costs = _priced(key[:-1], lambda: spec.priced(source, report))
        uncounted = counting(source)
        scores = scores_of(spec, source, costs, workspace(), report)
        # Prices the members as well: this page and Runs ask for them, and must not wait.
        members_within(source, Budget(), costs.num_classes)
        if uncounted:
            uncounted.follow(report)
        return Assembly.build(source, costs, scores)

    return work.start(key, make), key


def _priced(key: Hashable, price: Callable[[], Candidates]) -> Candidates:
    """The hybrids of some blocks with their costs: every score asks for them, and they take seconds."""
    if (found := _prices.get(key)) is None:
        found = price()
        for old in list(_prices)[: 1 - PRICED]:
            _prices.pop(old, None)
        _prices[key] = found
    return found


_prices: dict[Hashable, Candidates] = {}


def assembly_key(names: tuple[str, ...], parts: Partition, score: str) -> tuple[Hashable, ...]:
    """What `assembly` is known by; all but the last is what its prices are."""
    # By the blocks themselves: another proof, or other settings, that lead to the same are the same work.
    return ("assembly", _origin(zoo(), names), parts.blocks, parts.sets, score)


def runs() -> list[Run]:
    """All runs of the workspace, newest first."""
    return list_runs(workspace())


def accuracies(zoo: Zoo) -> pd.DataFrame:
    """What was measured: macs, params, top1, name and kind, as `app.charts.plane.score_plane` wants it."""
    lines = [
        {"macs": m.macs, "params": m.params, "top1": m.top1, "name": m.name, "kind": "source"}
        for m in with_costs(zoo).models
        if m.macs is not None and m.params is not None and m.top1 is not None
    ]
    tuned = run_frame(runs())
    for run in tuned[tuned["top1"].notna() & (tuned["task"] == TARGET_TASK)].itertuples():
        kind = "hybrid" if run.hybrid else "member"
        costs = {"macs": run.macs, "params": run.params}
        lines.append({**costs, "top1": run.top1, "name": run.subject, "kind": kind})
    return pd.DataFrame(lines, columns=["macs", "params", "top1", "name", "kind"])


def within(zoo: Zoo, budget: Budget) -> tuple[str, ...]:
    """Members of the whole zoo that keep to `budget`."""
    classes = len(load_task(TARGET_TASK).classes)
    return tuple(model.name for model in members_within(zoo, budget, classes))


def start_runs(
    zoo: Zoo, hybrid: HybridSpec, rivals: Iterable[str], protocol: Protocol, start: Start, epochs: int
) -> str:
    """Fine-tune the hybrid, then each rival in the same way; the id of the hybrid's run."""

    def spec(name: str, **subject: Any) -> RunSpec:
        recipe = Recipe.default(protocol, epochs)
        return RunSpec(
            name, str(zoo.path), TARGET_TASK, protocol=protocol, recipe=recipe, start=start, **subject
        )

    # Made last and started first: the newest run stands on top of the list.
    specs = [
        *(spec(rival, member=zoo.model(rival)) for rival in rivals),
        spec(hybrid.title, hybrid=hybrid),
    ]
    made = [create_run(workspace(), spec) for spec in specs]
    launcher.launch([made[-1], *made[:-1]])
    return made[-1].id


@st.cache_data(max_entries=8, show_spinner=False)
def test_count(task_name: str) -> int:
    """Number of test images of a task."""
    return len(load_task(task_name).test)


def done() -> set[str]:
    """Names of the path's steps that are done for what is chosen now."""
    finished = set()
    with suppress(DeryError):
        source = zoo()
        names = members(source)
        if len(names) >= 2:
            finished.add("zoo")
        keys = {
            "similarity": _key("table", source, names),
            "partition": _key("partition", source, names, cutting()),
        }
        if parts := blocks(names, cutting()).final():
            keys["reassemble"] = assembly_key(names, parts, state.get("score"))
        for step, key in keys.items():
            task = work.find(key)
            if task is not None and task.succeeded:
                finished.add(step)
    with suppress(DeryError):
        if any(workspace().runs.glob(f"*/{WEIGHTS}")):
            finished.add("runs")
    return finished


def _key(step: str, zoo: Zoo, names: tuple[str, ...], *settings: Hashable) -> Hashable:
    return (step, _origin(zoo, names), names, probe(), comparison(), *settings)


def _origin(zoo: Zoo, names: tuple[str, ...]) -> Hashable:
    """What work on these members rests on: another network of the same name is other work."""
    return str(workspace().root), str(zoo.path), digest(*(zoo.model(name) for name in names))
