"""A closer look at the cuts of networks, begun in the background: what they hold, where they lie."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from app import steps, work
from app.steps import Step
from dery_core.data import fitted, load_task, probe_batch
from dery_core.files import digest
from dery_core.progress import ProgressFn, Ticker
from dery_core.similarity import CutExamples, CutMap, cut_examples, cut_map
from dery_core.zoo import Zoo

IMAGES = 4
CHANNELS = 4


@dataclass(frozen=True, eq=False)
class Seen:
    """A few of the probe's `images`, uint8 (H, W, 3), with one label each, and what a network makes of them:
    `cuts` 0 to L."""

    images: tuple[np.ndarray, ...]
    labels: tuple[str, ...]
    cuts: tuple[CutExamples, ...]


def seen(zoo: Zoo, name: str) -> Step:
    """What the named network makes of a few probe images at all its cuts, one class after the other."""
    images = steps.probe()
    key: Hashable = ("seen", str(steps.workspace().root), str(zoo.path), digest(zoo.model(name)), images)

    def make(report: ProgressFn) -> Seen:
        Ticker("Building, cutting, looking", 1, "network", report)
        classes = load_task(images.task).classes
        batch = probe_batch(fitted(images))
        labels = batch.labels.tolist()
        rows = sorted(labels.index(label) for label in set(labels))[:IMAGES]
        return Seen(
            images=tuple(batch.images[row].permute(1, 2, 0).numpy() for row in rows),
            labels=tuple(classes[labels[row]] for row in rows),
            cuts=cut_examples(zoo, name, batch.images[rows], CHANNELS),
        )

    return work.start(key, make), key


def plane(names: tuple[str, ...]) -> Step:
    """All cuts of the named networks as points of the plane."""
    compared, table_key = steps.table(names)
    key: Hashable = ("plane", table_key)

    def make(report: ProgressFn) -> CutMap:
        table = compared.follow(report)
        Ticker("Laying out", len(table.index), "cuts", report)
        return cut_map(table)

    return work.start(key, make), key
