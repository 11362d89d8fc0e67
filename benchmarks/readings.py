"""The paper's two readings of a partition, measured on the embedded zoo and on the real one.

    python -m benchmarks.readings [--folder FOLDER] [--seconds 10] [--write]

Do equivalence sets follow the stage index when nothing forces them to (the free variant)? How much does
it change the answer whether size means parameters, MACs or nodes? Features, tables and partitions are
kept in the folder (build/readings), so an interrupted run goes on. `--write` writes docs/readings.md.
The real zoo is looked for in ../shared/data and left out, with a line, where it isn't.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import get_args

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its BLAS

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from benchmarks.readings_report import EPSILON, KS, Difference, Reading, document
from dery_core.data import SOURCE_TASKS, TARGET_TASK, Probe, probe_images
from dery_core.errors import DeryError
from dery_core.files import digest, write_text
from dery_core.partition import Partition, Variant, solve_partition
from dery_core.progress import TerminalProgress
from dery_core.similarity import (
    Comparison,
    SimilarityTable,
    cut_features,
    similarity_matrix,
    similarity_table,
)
from dery_core.similarity.comparison import MeasureName
from dery_core.workspace import Workspace
from dery_core.zoo import SizeMeasure, Zoo, embedded_zoo, load_zoo, zoo_line_graph

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
DOCUMENT = ROOT / "docs" / "readings.md"
IMAGES, SIDE = 256, 96
SHUFFLES = 3
SIZES: tuple[SizeMeasure, ...] = get_args(SizeMeasure)


@dataclass(frozen=True)
class Study:
    """One zoo: where its measurements are kept and how long a proof may take."""

    title: str
    zoo: Zoo
    tasks: tuple[str, ...]
    folder: Path
    seconds: float

    def table(self, task: str, seed: int = 0, comparison: Comparison | None = None) -> SimilarityTable:
        with TerminalProgress() as report:
            return similarity_table(
                self.zoo,
                self.zoo.names,
                Probe(task, IMAGES, seed),
                Workspace.open(self.folder / self.title),
                comparison or Comparison(),
                report=report,
            )

    def solved(
        self,
        table: SimilarityTable,
        k: int,
        size: SizeMeasure,
        variant: Variant = "staged",
        epsilon: float = EPSILON,
    ) -> Partition:
        key = digest("reading", table.key, k, size, variant, epsilon, self.seconds)
        path = self.folder / "partitions" / f"{key}.json"
        if path.is_file():
            return Partition.load(path)
        found = solve_partition(table, k, epsilon, size, variant=variant, max_seconds=self.seconds)
        found.save(path)
        return found


def shuffled_cuts(table: SimilarityTable, seed: int) -> SimilarityTable:
    """The control for depth: every network's cuts but the pictures in random order."""
    random = np.random.default_rng(seed)
    order = [np.r_[rows[0], random.permutation(rows[1:])] for rows in map(table.rows, table.models)]
    at = np.concatenate(order)
    return replace(table, values=table.values[np.ix_(at, at)], key=f"{table.key}-cuts-{seed}")


def shuffled_images(study: Study, table: SimilarityTable) -> list[SimilarityTable]:
    """The control for likeness: every network sees the images in an order of its own, so that what two
    of them say is compared of different images."""
    images = probe_images(table.probe)
    features = [
        cut_features(zoo_line_graph(study.zoo, name), study.zoo.model(name), images) for name in table.models
    ]
    tables = []
    for seed in range(SHUFFLES):
        random = np.random.default_rng(seed)
        orders = [random.permutation(len(images)) for _ in features]
        moved = [cut[order] for cuts, order in zip(features, orders, strict=True) for cut in cuts]
        values = similarity_matrix(moved, table.comparison)
        tables.append(replace(table, values=values, key=f"{table.key}-images-{seed}"))
    return tables


def reading(partition: Partition, staged: Partition) -> Reading:
    """How well sets follow stages, where they may do otherwise."""
    sets, k = np.asarray(partition.sets), partition.k
    anchors = [anchor.model for anchor in partition.anchors]
    counts = np.stack([np.bincount(sets[:, stage], minlength=k) for stage in range(k)])  # stage by set
    stages, matched = linear_sum_assignment(counts, maximize=True)
    return Reading(
        matched=float(counts[stages, matched].sum() / sets.size),
        by_stage=tuple((counts[stages, matched] / len(sets)).tolist()),
        whole=float(np.mean([len(set(row)) == k for row in partition.sets])),
        kin=float(
            np.mean(
                [anchors[at] == name for name, row in zip(partition.models, sets, strict=True) for at in row]
            )
        ),
        edge=partition.objective / staged.objective - 1,
        gap=partition.gap,
    )


def difference(one: Partition, other: Partition) -> Difference:
    """How far apart two partitions of the same networks are."""
    nodes = np.array([blocks[-1].end for blocks in one.blocks])
    cuts = [np.array([[b.end for b in blocks[:-1]] for blocks in p.blocks]) for p in (one, other)]
    labels = [np.concatenate([stage_of_nodes(p, i) for i in range(len(nodes))]) for p in (one, other)]
    return Difference(
        same=float((cuts[0] == cuts[1]).mean()),
        shift=float((np.abs(cuts[0] - cuts[1]) / nodes[:, None]).mean()),
        moved=float((labels[0] != labels[1]).mean()),
        rand=float(adjusted_rand_score(*labels)),
    )


def stage_of_nodes(partition: Partition, model: int) -> NDArray[np.int64]:
    blocks = partition.blocks[model]
    return np.repeat(np.arange(len(blocks)), [block.end - block.start for block in blocks])


def first_reading(study: Study) -> Iterator[tuple[str, tuple[int, SizeMeasure], Reading]]:
    """(of what, (K, size), reading) for the zoo, its controls, other probes and other measures."""

    def read(
        title: str, table: SimilarityTable, k: int, size: SizeMeasure
    ) -> tuple[str, tuple[int, SizeMeasure], Reading]:
        free = study.solved(table, k, size, "free")
        return title, (k, size), reading(free, study.solved(table, k, size))

    table = study.table(study.tasks[0])
    cuts = [shuffled_cuts(table, seed) for seed in range(SHUFFLES)]
    images = shuffled_images(study, table)
    for k in KS:
        for size in SIZES:
            yield read("zoo", table, k, size)
            for control in cuts:
                yield read("cuts", control, k, size)
            for control in images:
                yield read("images", control, k, size)
        for title, other in others(study):
            yield read(title, other, k, "params")


def others(study: Study) -> Iterator[tuple[str, SimilarityTable]]:
    """The same networks on other images and by other measures."""
    yield "other images of the task", study.table(study.tasks[0], seed=1)
    for task in study.tasks[1:]:
        yield f"images of {task}", study.table(task)
    yield "cka, unbiased", study.table(study.tasks[0], comparison=Comparison(unbiased=True))
    for measure in get_args(MeasureName):
        if measure != "cka":
            yield measure, study.table(study.tasks[0], comparison=Comparison(measure))


def second_reading(study: Study) -> Iterator[tuple[str, int, Difference]]:
    """(what differs, K, how much) between staged partitions by two sizes; beside them what another probe,
    measure or ε changes."""
    table = study.table(study.tasks[0])
    for k in KS:
        by_size = {size: study.solved(table, k, size) for size in SIZES}
        for one, other in combinations(SIZES, 2):
            yield f"{one} or {other}", k, difference(by_size[one], by_size[other])
        yield (
            "ε = 0.2 or 0.5",
            k,
            difference(by_size["params"], study.solved(table, k, "params", epsilon=0.5)),
        )
        for title, changed in others(study):
            yield title, k, difference(by_size["params"], study.solved(changed, k, "params"))


def objectives(study: Study) -> dict[tuple[int, SizeMeasure], Partition]:
    table = study.table(study.tasks[0])
    return {(k, size): study.solved(table, k, size) for k in KS for size in SIZES}


def studies(folder: Path, seconds: float) -> list[Study]:
    found = [Study("embedded", embedded_zoo(), (TARGET_TASK, *SOURCE_TASKS), folder, seconds)]
    path, images = DATA / "real_zoo" / "zoo.json", DATA / "cifar10_4000.npz"
    if path.is_file() and images.is_file():
        zoo = load_zoo(path)
        smaller = tuple(replace(model, input_size=(3, SIDE, SIDE)) for model in zoo.models)
        found.append(Study("real", replace(zoo, models=smaller), (f"npz:{images}",), folder, seconds))
    else:
        print(f"{path} or {images} is not here: the embedded zoo alone is measured.", file=sys.stderr)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "readings")
    parser.add_argument("--seconds", type=float, default=10, help="for one partition and its proof")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)}")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        parts = [
            (study.title, list(first_reading(study)), list(second_reading(study)), objectives(study))
            for study in studies(args.folder, args.seconds)
        ]
    except DeryError as error:
        print(error, file=sys.stderr)
        return 1
    text = document(parts, IMAGES, SHUFFLES, args.seconds)
    print(text)
    if args.write:
        write_text(DOCUMENT, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
