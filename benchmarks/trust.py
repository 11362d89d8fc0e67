"""How far each score can be trusted: really trained hybrids of the embedded zoo.

    python -m benchmarks.trust [--workers 1] [--workspace FOLDER]

Cuts the embedded zoo as the demo does, draws hybrids evenly, and trains each and every zoo member on the
target task, frozen and full, with three seeds. An interrupted run goes on where it stopped.
"""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import torch

from benchmarks.trainings import fine_tune, train_all
from dery_core.data import TARGET_TASK, Probe, load_task
from dery_core.demo import PROBE_IMAGES, STAGES
from dery_core.partition import Partition, solve_partition
from dery_core.progress import ProgressFn, TerminalProgress
from dery_core.reassembly import Candidates, HybridSpec, candidates
from dery_core.scoring.scores import sampled
from dery_core.similarity import similarity_table
from dery_core.training import Protocol, RunSpec
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo, ZooModel, embedded_zoo

ROOT = Path(__file__).parents[1]
HYBRIDS = 40
SEEDS = (0, 1, 2)
EPOCHS: dict[Protocol, int] = {"frozen": 4, "full": 4}


@dataclass(frozen=True)
class Subject:
    """A hybrid or member that is trained: `choice` is the member's own chain, or the hybrid's blocks."""

    name: str
    choice: tuple[int, ...]
    what: HybridSpec | ZooModel


def cut(zoo: Zoo, workspace: Workspace, report: ProgressFn) -> tuple[Partition, Candidates]:
    """The demo's partition of the zoo and what its hybrids cost."""
    table = similarity_table(zoo, zoo.names, Probe(TARGET_TASK, PROBE_IMAGES, 0), workspace, report=report)
    partition = solve_partition(table, STAGES)
    return partition, candidates(zoo, partition, len(load_task(TARGET_TASK).classes), report=report)


def subjects(zoo: Zoo, options: Candidates, hybrids: int = HYBRIDS) -> list[Subject]:
    """All members, and hybrids of at least two of them in which every block appears about equally often."""
    n = len(options.models)
    drawn = [choice for choice in sampled(options, n + hybrids, seed=0) if len(set(choice)) > 1]
    return [
        *(Subject(name, (i,) * options.k, zoo.model(name)) for i, name in enumerate(options.models)),
        *(Subject("-".join(map(str, choice)), choice, options.spec(zoo, choice)) for choice in drawn),
    ]


def runs(zoo: Zoo, chosen: list[Subject]) -> list[tuple[str, RunSpec]]:
    """Every training by "protocol/epochs/seed/subject", the first seed of all before the second of any."""
    return [
        (
            f"{protocol}/{epochs}/{seed}/{subject.name}",
            fine_tune(subject.what, zoo, TARGET_TASK, protocol, epochs, seed),
        )
        for seed in SEEDS
        for protocol, epochs in EPOCHS.items()
        for subject in chosen
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--workspace", type=Path, default=ROOT / "build" / "trust")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    zoo, workspace = embedded_zoo(), Workspace.open(arguments.workspace)
    with TerminalProgress() as report:
        _, options = cut(zoo, workspace, report)
        chosen = subjects(zoo, options)
        train_all(runs(zoo, chosen), arguments.workspace / "trainings.jsonl", arguments.workers, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
