"""The paper's ablations (sections 4.1 and 4.3) on the embedded zoo.

    python -m benchmarks.ablations [--workers 1] [--workspace FOLDER] [--report]

Partition and selection, the number of blocks, architecture with and without the trained weights, and the
position of a block as in the paper's figure 4, each with three seeds. Writes docs/ablations.md. An
interrupted run goes on where it stopped; --report trains nothing and writes from what there is.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks.ablations_report import (
    BASE,
    DRAWN,
    EPOCHS,
    KS,
    POOL,
    RETRAINED,
    SCORED,
    SEEDS,
    STAGES,
    STARTS,
    TARGETS,
    Place,
    document,
    key,
    own_key,
)
from benchmarks.hybrid_scores import hybrid_scores
from benchmarks.job_pool import Result
from benchmarks.trainings import fine_tune, train_all
from dery_core.data import TARGET_TASK, Probe, load_task
from dery_core.demo import PROBE_IMAGES, middle_budget
from dery_core.files import sha256, write_text
from dery_core.partition import Block, Partition, block_similarity, solve_partition
from dery_core.progress import ProgressFn, TerminalProgress
from dery_core.reassembly import Budget, Candidates, HybridSpec, candidates, priced
from dery_core.scoring import SCORES
from dery_core.similarity import SimilarityTable, similarity_table
from dery_core.training import RunSpec
from dery_core.training.seeds import seeded
from dery_core.workspace import Workspace
from dery_core.zoo import LineGraph, Zoo, embedded_zoo, load_zoo, zoo_line_graph
from dery_core.zoo.architecture import build_architecture

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "ablations.md"

Choice = tuple[int, ...]


@dataclass(frozen=True)
class Cutting:
    """All networks cut in one way, and for every seed `POOL` hybrids within the budget, drawn evenly. The
    first `drawn` of a pool are trained; of all of it the scores are measured."""

    name: str
    partition: Partition
    options: Candidates
    pools: dict[int, list[Choice]]

    @property
    def drawn(self) -> dict[int, list[Choice]]:
        return {seed: choices[: DRAWN[self.options.k]] for seed, choices in self.pools.items()}


def cuttings(zoo: Zoo, table: SimilarityTable, budget: Budget, report: ProgressFn) -> list[Cutting]:
    """The exact partition for every K, and for K = 4 one at random a seed."""
    classes = len(load_task(TARGET_TASK).classes)
    ways: list[tuple[str, Partition, tuple[int, ...]]] = [
        (f"ours-{k}", solve_partition(table, k), SEEDS) for k in KS
    ]
    ways += [(f"random-{KS[0]}-{seed}", random_partition(table, KS[0], seed), (seed,)) for seed in SEEDS]
    found = []
    for name, partition, seeds in ways:
        options = candidates(zoo, partition, classes, report=report)
        found.append(Cutting(name, partition, options, {seed: pool(options, budget, seed) for seed in seeds}))
    return found


def random_partition(table: SimilarityTable, k: int, seed: int) -> Partition:
    """Every network cut at K - 1 places drawn evenly, whatever the sizes; the blocks keep their order."""
    random = np.random.default_rng(seed)
    blocks = []
    for name in table.models:
        last = len(table.rows(name)) - 1
        cuts = [0, *sorted(random.choice(np.arange(1, last), k - 1, replace=False).tolist()), last]
        blocks.append(tuple(Block(name, a, b - 1) for a, b in zip(cuts, cuts[1:], strict=False)))
    likes = [
        tuple(block_similarity(table, *pair) for pair in zip(row, blocks[0], strict=True)) for row in blocks
    ]
    return Partition(
        k=k,
        epsilon=float(k - 1),
        size="params",
        models=table.models,
        blocks=tuple(blocks),
        sets=(tuple(range(k)),) * len(blocks),
        similarity=tuple(likes),
        anchors=blocks[0],
        objective=sum(map(sum, likes)),
        upper_bound=2.0 * k * len(blocks),
    )


def pool(options: Candidates, budget: Budget, seed: int) -> list[Choice]:
    """Different hybrids within the budget of two networks or more, in the order they were drawn."""
    random = np.random.default_rng(seed)
    found: dict[Choice, None] = {}
    while len(found) < POOL:
        choice = tuple(random.integers(len(options.models), size=options.k).tolist())
        if len(set(choice)) > 1 and budget.allows(*options.cost(choice)):
            found[choice] = None
    return list(found)


def picks(zoo: Zoo, cutting: Cutting, folder: Path, report: ProgressFn) -> dict[str, Choice]:
    """The best of every pool by every score, by "score/seed"."""
    everyone = sorted({choice for drawn in cutting.pools.values() for choice in drawn})
    known = hybrid_scores(zoo, cutting.options, everyone, SCORED, TARGET_TASK, folder, report)
    found = {}
    for score, (seed, drawn) in product(SCORED, cutting.pools.items()):
        values = [-np.inf if (value := known[c][score]) is None else value for c in drawn]
        found[f"{score}/{seed}"] = drawn[int(np.argmax(values))]
    return found


def selection_runs(zoo: Zoo, cutting: Cutting, chosen: dict[str, Choice]) -> Iterable[tuple[str, RunSpec]]:
    """Frozen trainings of what was drawn and of what the scores chose."""
    for seed, drawn in cutting.drawn.items():
        best = [chosen[f"{score}/{seed}"] for score in SCORED]
        for choice in dict.fromkeys((*drawn, *best)):
            yield _frozen(zoo, cutting, choice, seed)


def retrained_runs(zoo: Zoo, cutting: Cutting, known: dict[str, Result]) -> Iterable[tuple[str, RunSpec]]:
    """The best of what was drawn once more, with a seed that didn't choose it."""
    for seed, drawn in cutting.drawn.items():
        best = max(drawn, key=lambda c: known[key(cutting.name, c, "frozen", seed)].get("top1", 0.0))
        yield _frozen(zoo, cutting, best, seed + RETRAINED)


def _frozen(zoo: Zoo, cutting: Cutting, choice: Choice, seed: int) -> tuple[str, RunSpec]:
    spec = cutting.options.spec(zoo, choice)
    return key(cutting.name, choice, "frozen", seed), fine_tune(
        spec, zoo, TARGET_TASK, "frozen", EPOCHS, seed
    )


def weights_runs(
    zoo: Zoo, cutting: Cutting, choices: Iterable[Choice], folder: Path
) -> Iterable[tuple[str, RunSpec]]:
    """The same hybrids tuned in full: with the zoo's weights from either start, and with random ones."""
    for choice, seed, (what, start) in product(choices, SEEDS, STARTS.items()):
        spec, source = cutting.options.spec(zoo, choice), zoo
        if what == "from scratch":
            source = untrained(zoo, spec, folder / f"{'-'.join(map(str, choice))}-{seed}", seed)
            spec = replace(spec, models=tuple(source.model(model.name) for model in spec.models))
        run = fine_tune(spec, source, TARGET_TASK, "full", EPOCHS, seed, start)
        yield key(cutting.name, choice, what, seed), run


def untrained(zoo: Zoo, spec: HybridSpec, folder: Path, seed: int) -> Zoo:
    """A zoo of the hybrid's networks with random weights, as their architectures draw them."""
    folder.mkdir(parents=True, exist_ok=True)
    models = []
    with seeded(seed):
        for model in spec.models:
            path = folder / f"{model.name}.safetensors"
            save_file(build_architecture(model).state_dict(), path)
            models.append(replace(model, weights=path.name, sha256=sha256(path), top1=None, provenance={}))
    path = folder / "zoo.json"
    write_text(path, json.dumps({"schema_version": 1, "models": [model.to_dict() for model in models]}))
    return load_zoo(path)


def places(table: SimilarityTable, graphs: dict[str, LineGraph]) -> list[Place]:
    """Stage 3 or 4 of the base network replaced by every stage of the targets, with the similarity S of
    the block that goes and the one that comes."""
    found = []
    for position, (target, prefixes), stage in product((3, 4), TARGETS.items(), STAGES):
        gone = stage_block(graphs[BASE], "layer{stage}", position)
        comes = stage_block(graphs[target], prefixes, stage)
        found.append(Place(position, target, stage, block_similarity(table, gone, comes)))
    return found


def stage_block(graph: LineGraph, prefix: str, stage: int) -> Block:
    """One of the network's own four stages, by the names of its nodes."""
    begins = prefix.format(stage=stage, before=stage - 1) + "."
    inside = [i for i, node in enumerate(graph.nodes) if node.name.startswith(begins)]
    return Block(graph.name, inside[0], inside[-1])


def place_runs(
    zoo: Zoo, graphs: dict[str, LineGraph], found: Iterable[Place]
) -> Iterable[tuple[str, RunSpec]]:
    """Frozen trainings of the base network as it is and of every replacement."""
    classes = len(load_task(TARGET_TASK).classes)
    for seed in SEEDS:
        yield own_key(seed), fine_tune(zoo.model(BASE), zoo, TARGET_TASK, "frozen", EPOCHS, seed)
    for place, seed in product(found, SEEDS):
        blocks = [stage_block(graphs[BASE], "layer{stage}", stage) for stage in STAGES]
        blocks[0] = Block(BASE, 0, blocks[0].last_node)  # the stem goes with stage 1
        blocks[place.position - 1] = stage_block(graphs[place.target], TARGETS[place.target], place.stage)
        models = tuple(zoo.model(name) for name in (BASE, place.target))
        spec = priced(HybridSpec(tuple(blocks), models, classes, 0, 0), graphs)
        yield place.key(seed), fine_tune(spec, zoo, TARGET_TASK, "frozen", EPOCHS, seed)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--workspace", type=Path, default=ROOT / "build" / "ablations")
    parser.add_argument("--report", action="store_true", help="train nothing, only write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    zoo, workspace = embedded_zoo(), Workspace.open(arguments.workspace)
    budget = middle_budget(zoo, len(load_task(TARGET_TASK).classes))
    graphs = {name: zoo_line_graph(zoo, name) for name in (BASE, *TARGETS)}
    with TerminalProgress() as report:

        def train(runs: Iterable[tuple[str, RunSpec]]) -> dict[str, Result]:
            wanted = [] if arguments.report else runs
            state = arguments.workspace / "trainings.jsonl"
            return train_all(wanted, state, arguments.workers, report).results

        table = similarity_table(
            zoo, zoo.names, Probe(TARGET_TASK, PROBE_IMAGES, 0), workspace, report=report
        )
        found = places(table, graphs)
        train(place_runs(zoo, graphs, found))
        cut = cuttings(zoo, table, budget, report)
        chosen = {cutting.name: picks(zoo, cutting, workspace.scores, report) for cutting in cut}
        ours = cut[0]
        for cutting in sorted(cut, key=lambda cutting: cutting.options.k):
            known = train(selection_runs(zoo, cutting, chosen[cutting.name]))
            if not arguments.report and cutting.options.k == KS[0]:
                train(retrained_runs(zoo, cutting, known))
        best = {
            f"best by {SCORES[score].title}": chosen[ours.name][f"{score}/{SEEDS[0]}"] for score in SCORED
        }
        known = train(
            weights_runs(zoo, ours, dict.fromkeys(best.values()), arguments.workspace / "untrained")
        )
    write_text(DOCUMENT, document(budget, {c.name: c.pools for c in cut}, chosen, best, found, known))
    print(DOCUMENT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
