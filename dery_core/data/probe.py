"""`Probe`: the images on which networks are compared."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dery_core.data.loading import load_task
from dery_core.data.task import ImageSet
from dery_core.errors import DeryError
from dery_core.values import Value


@dataclass(frozen=True)
class Probe(Value):
    """`count` images drawn from a task's train set without replacement, by the seed."""

    task: str
    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 2:
            raise DeryError(f"a probe of {self.count} images compares nothing: take 2 or more.")


def fitted(probe: Probe) -> Probe:
    """The probe with as many images as its task has to train on, where it asks for more."""
    return replace(probe, count=min(probe.count, len(load_task(probe.task).train)))


def probe_batch(probe: Probe) -> ImageSet:
    """The probe's images with their labels; DeryError when the task holds too few."""
    train = load_task(probe.task).train
    if probe.count > len(train):
        raise DeryError(
            f"the probe asks for {probe.count} images, but '{probe.task}' has {len(train)} to train on: "
            f"take at most {len(train)}."
        )
    generator = torch.Generator().manual_seed(probe.seed)
    rows = torch.randperm(len(train), generator=generator)[: probe.count]
    return ImageSet(train.images[rows], train.labels[rows])


def probe_images(probe: Probe) -> Tensor:
    """The probe's images, uint8 (count, 3, H, W)."""
    return probe_batch(probe).images
