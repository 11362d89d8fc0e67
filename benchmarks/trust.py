"""How far each score can be trusted: really trained hybrids of the embedded zoo.

    python -m benchmarks.trust [--workers 1] [--workspace FOLDER]

Cuts the embedded zoo as the demo does, draws hybrids evenly, and trains each and every zoo member on the
target task, frozen and full, with three seeds. Then measures every score of the same networks and writes
assets/trust.csv, assets/trust_scores.csv and docs/trust.md. An interrupted run goes on where it stopped;
--scores leaves the training out and writes what there is.
"""

import argparse
import csv
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import torch

from benchmarks.hybrid_scores import hybrid_scores
from benchmarks.job_pool import Result
from benchmarks.trainings import fine_tune, train_all
from benchmarks.trust_report import document
from dery_core.data import TARGET_TASK, Probe, load_task
from dery_core.demo import PROBE_IMAGES, STAGES
from dery_core.files import write_text
from dery_core.partition import Block, solve_partition
from dery_core.progress import ProgressFn, TerminalProgress
from dery_core.reassembly import Candidates, HybridSpec, candidates
from dery_core.scoring import SCORES, sampled
from dery_core.scoring.trie import Values
from dery_core.scoring.trust import BASELINES, TRAININGS, VALUES
from dery_core.similarity import similarity_table
from dery_core.training import DEFAULT_STARTS, Protocol, Start
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo, ZooModel, embedded_zoo

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "trust.md"
HYBRIDS = 40
SEEDS = (0, 1, 2)
EPOCHS = 4
PROTOCOLS: tuple[Protocol, ...] = ("frozen", "full")
OTHER: dict[Start, Start] = {"closed-form": "random", "random": "closed-form"}


@dataclass(frozen=True)
class Subject:
    """A hybrid or member that is trained: `choice` is the member's own chain, or the hybrid's blocks."""

    name: str
    choice: tuple[int, ...]
    what: HybridSpec | ZooModel


def cut(zoo: Zoo, workspace: Workspace, report: ProgressFn) -> Candidates:
    """The hybrids of the demo's partition, and what they cost."""
    table = similarity_table(zoo, zoo.names, Probe(TARGET_TASK, PROBE_IMAGES, 0), workspace, report=report)
    partition = solve_partition(table, STAGES)
    return candidates(zoo, partition, len(load_task(TARGET_TASK).classes), report=report)


def subjects(zoo: Zoo, options: Candidates, hybrids: int = HYBRIDS) -> list[Subject]:
    """All members, and hybrids of at least two of them in which every block appears about equally often."""
    n = len(options.models)
    drawn = [choice for choice in sampled(options, n + hybrids, seed=0) if len(set(choice)) > 1]
    return [
        *(Subject(name, (i,) * options.k, zoo.model(name)) for i, name in enumerate(options.models)),
        *(Subject("-".join(map(str, choice)), choice, options.spec(zoo, choice)) for choice in drawn),
    ]


class Training(NamedTuple):
    """One training of a subject."""

    subject: Subject
    protocol: Protocol
    seed: int
    start: Start

    @property
    def key(self) -> str:
        """How it is called in the file that keeps its figures."""
        path = f"{self.protocol}/{EPOCHS}/{self.seed}/{self.subject.name}"
        return path if self.start == "closed-form" else f"{self.start}/{path}"


def trainings(chosen: list[Subject]) -> list[Training]:
    """Everything to train, the first seed of all before the second of any, from the product's start; and
    every hybrid once from the other start, to see what the start is worth and which scores it favours."""
    hybrids = [subject for subject in chosen if isinstance(subject.what, HybridSpec)]
    return [
        *(Training(s, p, seed, DEFAULT_STARTS[p]) for seed in SEEDS for p in PROTOCOLS for s in chosen),
        *(Training(s, p, SEEDS[0], OTHER[DEFAULT_STARTS[p]]) for p in PROTOCOLS for s in hybrids),
    ]


def training_rows(options: Candidates, wanted: list[Training], known: dict[str, Result]) -> list[Result]:
    """A row for every training that there is."""
    rows = []
    for training in wanted:
        result = known.get(training.key, {})
        if "top1" in result:
            subject = training.subject
            rows.append(
                {
                    "subject": subject.name,
                    "kind": "hybrid" if isinstance(subject.what, HybridSpec) else "member",
                    "blocks": " ".join(_block(f.block) for f in options.facts(subject.choice)),
                    "params": result["params"],
                    "macs": result["macs"],
                    "protocol": training.protocol,
                    "start": result["start"],
                    "epochs": EPOCHS,
                    "seed": training.seed,
                    "top1_before": result["curve"][0],
                    "top1": result["top1"],
                }
            )
    return rows


def _block(block: Block) -> str:
    return f"{block.model}:{block.first_node}-{block.last_node}"


def score_rows(
    zoo: Zoo, options: Candidates, chosen: list[Subject], folder: Path, report: ProgressFn
) -> list[Result]:
    """Every score that is measured of every subject; of a member, of its own chain of blocks."""
    names = [name for name in SCORES if name not in BASELINES]
    choices = [subject.choice for subject in chosen]
    known = hybrid_scores(zoo, options, choices, names, TARGET_TASK, folder, report)
    return [{"subject": subject.name, **_ordered(known[subject.choice], names)} for subject in chosen]


def _ordered(values: Values, names: list[str]) -> Result:
    return {name: values[name] for name in names}


def write_rows(path: Path, rows: list[Result]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--workspace", type=Path, default=ROOT / "build" / "trust")
    parser.add_argument("--scores", action="store_true", help="train nothing, only measure and write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    zoo, workspace = embedded_zoo(), Workspace.open(arguments.workspace)
    state = arguments.workspace / "trainings.jsonl"
    with TerminalProgress() as report:
        options = cut(zoo, workspace, report)
        chosen = subjects(zoo, options)
        wanted = trainings(chosen)
        runs = [
            (t.key, fine_tune(t.subject.what, zoo, TARGET_TASK, t.protocol, EPOCHS, t.seed, t.start))
            for t in wanted
        ]
        known = train_all([] if arguments.scores else runs, state, arguments.workers, report).results
        write_rows(TRAININGS, training_rows(options, wanted, known))
        write_rows(VALUES, score_rows(zoo, options, chosen, workspace.scores, report))
    write_text(DOCUMENT, document(EPOCHS))
    print(DOCUMENT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
