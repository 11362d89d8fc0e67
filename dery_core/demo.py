"""The main job from end to end, without a browser: the figures behind `dery demo`."""

import math
import statistics
import time
from dataclasses import dataclass

from tabulate import tabulate

from dery_core.data import TARGET_TASK, Probe, load_task
from dery_core.errors import DeryError
from dery_core.jobs import TrainingRun, create_run, run_all
from dery_core.modules import cpu_threads
from dery_core.partition import solve_partition
from dery_core.progress import ProgressFn, silent
from dery_core.reassembly import Budget, Candidates, HybridSpec, candidates, members_within
from dery_core.scoring import FAMILIES, SCORES, THREADS, Scores, measure, score_candidates, score_probe
from dery_core.search import Finder, Rules
from dery_core.similarity import similarity_table
from dery_core.training import DEFAULT_STARTS, Contender, Recipe, RunSpec, Start, verdict
from dery_core.units import quantity
from dery_core.values import Value
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo, ZooModel, member_cost

PROBE_IMAGES = 256
STAGES = 4
RECIPE = Recipe.default("frozen")
TOP = 10


@dataclass(frozen=True)
class HybridBlock(Value):
    """A block of the hybrid: nodes `first_node` to `last_node`, both included, counted from 0."""

    stage: int
    model: str
    first_node: int
    last_node: int


@dataclass(frozen=True)
class Tuned(Value):
    """What tuning gave: top-1 on the target's test set in percent, before and after."""

    name: str
    params: int
    macs: int
    trainable_params: int
    top1_before: float
    top1: float
    run: str
    start: Start | None = None


@dataclass(frozen=True)
class DemoReport(Value):
    """The demo's figures; the README describes every key."""

    seed: int
    zoo: tuple[str, ...]
    target_task: str
    models_compared: int
    cuts_compared: int
    k: int
    objective: float
    upper_bound: float
    budget: Budget
    blocks: tuple[HybridBlock, ...]
    score: str
    score_value: float | None
    naswot: float | None
    hybrid: Tuned
    members: tuple[Tuned, ...]
    recipe: Recipe
    seconds: float


def run_demo(
    workspace: Workspace,
    zoo: Zoo,
    seed: int = 0,
    workers: int = 2,
    report: ProgressFn = silent,
    start: Start = DEFAULT_STARTS["frozen"],
) -> DemoReport:
    """Compare, partition and reassemble `zoo`, then frozen-tune the hybrid on the target task
    beside every member within the same budget (same recipe, start, seed and epochs)."""
    started = time.monotonic()
    task = load_task(TARGET_TASK)
    table = similarity_table(zoo, zoo.names, Probe(task.name, PROBE_IMAGES, seed), workspace, report=report)
    partition = solve_partition(table, STAGES)
    options = candidates(zoo, partition, len(task.classes), report=report)
    probe = score_probe(task.name, seed=seed)
    scores = score_candidates(zoo, partition, options, probe, workspace, seed=seed, report=report)
    budget = middle_budget(zoo, len(task.classes))
    spec = best_hybrid(zoo, options, scores, budget, workspace, report)
    subjects: list[HybridSpec | ZooModel] = [spec, *members_within(zoo, budget, len(task.classes))]
    runs = [create_run(workspace, tuning(subject, zoo, task.name, seed, start)) for subject in subjects]
    run_all(runs, workers=workers, report=report)
    hybrid, *members = (_tuned(run) for run in runs)
    return DemoReport(
        seed=seed,
        zoo=zoo.names,
        target_task=task.name,
        models_compared=len(table.models),
        cuts_compared=len(table.index),
        k=partition.k,
        objective=partition.objective,
        upper_bound=partition.upper_bound,
        budget=budget,
        blocks=tuple(
            HybridBlock(stage, block.model, block.first_node, block.last_node)
            for stage, block in enumerate(spec.blocks, 1)
        ),
        score=scores.name,
        score_value=spec.score,
        naswot=_naswot(zoo, options, spec, seed),
        hybrid=hybrid,
        members=tuple(sorted(members, key=lambda member: -member.top1)),
        recipe=RECIPE,
        seconds=time.monotonic() - started,
    )


def middle_budget(zoo: Zoo, num_classes: int) -> Budget:
    """The members' median params and MACs, to two digits: half of the zoo is out of reach."""
    costs = [member_cost(model, num_classes) for model in zoo.models]
    params, macs = (statistics.median(figures) for figures in zip(*costs, strict=True))
    return Budget(_two_digits(params), _two_digits(macs))


def _two_digits(count: float) -> int:
    return int(float(f"{count:.1e}"))


def best_hybrid(
    zoo: Zoo,
    options: Candidates,
    scores: Scores,
    budget: Budget,
    workspace: Workspace,
    report: ProgressFn = silent,
) -> HybridSpec:
    """Of the `TOP` best hybrids by predicted score, the one with the highest measured score."""
    found = Finder(options, scores.objective).best(Rules(budget), TOP)
    choices = [choice.choice for choice in found]
    scores = measure(zoo, options, scores, choices, workspace, report)
    scored = [(score, choice) for choice in choices if (score := scores.score(choice)) is not None]
    # Of equal scores the first stands: `found` is in the order of Finder.
    score, best = max(scored, key=lambda each: each[0])
    return options.spec(zoo, best, score if math.isfinite(score) else None)


def _naswot(zoo: Zoo, options: Candidates, spec: HybridSpec, seed: int) -> float | None:
    """The paper's score of the hybrid, whatever it was chosen by."""
    probe = score_probe(TARGET_TASK, "naswot", seed)
    choice = tuple(options.models.index(block.model) for block in spec.blocks)
    with cpu_threads(THREADS):
        return FAMILIES["naswot"].measurer(zoo, options, probe, seed).measure(choice)["naswot"]


def tuning(
    subject: HybridSpec | ZooModel, zoo: Zoo, task: str, seed: int, start: Start = DEFAULT_STARTS["frozen"]
) -> RunSpec:
    """The demo's fine-tune: frozen, the same recipe and start for hybrid and members."""
    hybrid = subject if isinstance(subject, HybridSpec) else None
    member = subject if isinstance(subject, ZooModel) else None
    name = member.name if member else "hybrid"
    return RunSpec(name, str(zoo.path), task, hybrid, member, "frozen", RECIPE, seed, "cpu", start=start)


def _tuned(run: TrainingRun) -> Tuned:
    result = run.result()
    if result is None:
        raise DeryError(f"The run {run.id} has no result: {run.status().message}")
    return Tuned(
        run.spec.name,
        result.params,
        result.macs,
        result.trainable_params,
        result.top1_before,
        result.top1,
        str(run.path),
        result.start,
    )


def print_report(figures: DemoReport) -> None:
    """The demo's figures as a person reads them."""
    budget = (
        f"{quantity(figures.budget.max_params or 0)} params, {quantity(figures.budget.max_macs or 0)} MACs"
    )
    print(
        f"\nCompared {figures.models_compared} networks at {figures.cuts_compared} cuts (linear CKA).\n"
        f"Cut each into {figures.k} blocks: objective {figures.objective:.3f}, "
        f"no partition exceeds {figures.upper_bound:.3f}.\n"
        f"The best hybrid within {budget}, by {SCORES[figures.score].title}:\n"
    )
    blocks = [[b.stage, b.model, f"{b.first_node}–{b.last_node}"] for b in figures.blocks]
    print(tabulate(blocks, ["stage", "block of", "nodes"], disable_numparse=True))
    print(
        f"\nFrozen-tuned on {figures.target_task} for {figures.recipe.epochs} epochs, as every member was:\n"
    )
    rows = sorted([figures.hybrid, *figures.members], key=lambda tuned: -tuned.top1)
    print(
        tabulate(
            [
                [
                    tuned.name if tuned is not figures.hybrid else "▶ the hybrid",
                    quantity(tuned.params),
                    quantity(tuned.macs),
                    quantity(tuned.trainable_params),
                    f"{tuned.top1_before:.1f}",
                    f"{tuned.top1:.1f}",
                ]
                for tuned in rows
            ],
            ["network", "params", "MACs", "trained params", "top-1 % before", "after"],
            colalign=("left",) + ("right",) * 5,
            disable_numparse=True,
        )
    )
    print(f"\n{outcome(figures)}  ({figures.seconds:.0f} s)")


def outcome(figures: DemoReport) -> str:
    """Whether the hybrid won against the members that started as it did, in one honest sentence."""
    alike = [member for member in figures.members if member.start == figures.hybrid.start]
    contenders = [Contender(t.name, t.top1, t.params, t.macs) for t in (figures.hybrid, *alike)]
    return verdict(contenders[0], contenders[1:], len(load_task(figures.target_task).test))
