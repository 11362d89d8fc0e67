"""The closed-form start: new layers fitted to some training images before the first epoch."""

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from dery_core.data import ImageSet, Task, preprocess
from dery_core.modules import evaluating, received
from dery_core.progress import ProgressFn, Ticker
from dery_core.reassembly import Hybrid
from dery_core.reassembly.closed_form import fit_closed_form, set_statistics, write_linear
from dery_core.reassembly.ridge_head import fit_ridge_head
from dery_core.training.seeds import shuffled
from dery_core.training.spec import RunSpec, Start
from dery_core.training.subject import Subject
from dery_core.zoo import load_zoo

START_IMAGES = 1024
"""Training images that a start is fitted on, unless there are fewer."""

_IMAGES_PER_CLASS = 8
"""At least as many are taken for a task of many classes."""

Scores = nn.Linear | nn.Conv2d
"""A linear layer or 1×1 convolution that gives one score a class."""


def fit_start(subject: Subject, spec: RunSpec, task: Task, report: ProgressFn) -> str:
    """Give the subject's new layers their closed-form weights; a sentence says how well they fit.

    A hybrid's seams and head are fitted as `fit_closed_form` does. A member has no seams, but its new
    classifier is fitted by the same ridge regression on the same images, each of several that are
    averaged too: what a comparison then shows is the networks' difference, not the start's. Where
    `used_start` says so it stays random. DeryError for fewer training images than classes.
    """
    images = _drawn(task, spec.seed)
    if isinstance(subject.module, Hybrid):
        assert spec.hybrid is not None
        zoo = load_zoo(spec.zoo)
        return str(
            fit_closed_form(subject.module, spec.hybrid, zoo, images.images, images.labels, report=report)
        )
    parts = _fitted_parts(subject, len(task.classes))
    if not parts:
        return (
            "The classifier is not made of linear layers that each give one score a class: it starts from "
            "random weights, and the run is not comparable with runs from a closed-form start."
        )
    return _fit_classifier(subject, parts, images, spec.recipe.batch_size, report)


def used_start(subject: Subject, spec: RunSpec, classes: int) -> Start:
    """Where the new layers really start: a member's classifier that can't be fitted stays random."""
    if isinstance(subject.module, Hybrid) or _fitted_parts(subject, classes):
        return spec.start
    return "random"


def _drawn(task: Task, seed: int) -> ImageSet:
    """The images of a start: the same for hybrid and members of one seed."""
    count = max(START_IMAGES, _IMAGES_PER_CLASS * len(task.classes))
    rows = shuffled(len(task.train), seed, 0)[:count]
    return ImageSet(task.train.images[rows], task.train.labels[rows])


def _fit_classifier(
    subject: Subject,
    parts: list[tuple[nn.Module, list[Scores]]],
    images: ImageSet,
    batch_size: int,
    report: ProgressFn,
) -> str:
    tick = Ticker("Closed-form start", len(images), "images", report)
    entering: list[list[Tensor]] = [[] for _ in parts]
    device = next(subject.module.parameters()).device
    right = []
    with torch.no_grad(), evaluating(subject.module):
        for batch in images.images.split(batch_size):
            for earlier, more in zip(entering, _entering(subject, batch.to(device)), strict=True):
                earlier.append(more)
            tick(len(batch))
        for (part, layers), given in zip(parts, map(torch.cat, entering), strict=True):
            for norm in part.modules():
                if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                    set_statistics(norm, [received(part, norm, given)])
            for layer in layers:
                features = received(part, layer, given).flatten(1)
                fitted = fit_ridge_head(features, images.labels, layer.weight.shape[0])
                write_linear(layer, fitted)
                right.append(f"{fitted.top1:.1f} %")
    which = "The classifier is" if len(right) == 1 else f"The {len(right)} classifiers are"
    return (
        f"Closed-form start from {len(images)} images. {which} right on {' and '.join(right)} of them when "
        "each is left out in turn."
    )


def _fitted_parts(subject: Subject, classes: int) -> list[tuple[nn.Module, list[Scores]]]:
    """The parts of a member's new classifier, each with the layers that a ridge regression can set; none
    unless these are all that is new but for normalisation."""
    parts = []
    with torch.no_grad(), evaluating(subject.module):
        device = next(subject.module.parameters()).device
        image = torch.zeros((1, *subject.source.input_size), dtype=torch.uint8, device=device)
        try:
            entering = _entering(subject, image)
        except ValueError:
            return []
        for part, given in zip(subject.fresh, entering, strict=True):
            layers = [m for m in part.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
            if not layers or not all(_scores(part, layer, given, classes) for layer in layers):
                return []
            parts.append((part, layers))
    return parts


def _scores(part: nn.Module, layer: Scores, given: Tensor, classes: int) -> bool:
    """Whether a layer of a part, for what enters that, gives one score a class from one vector an image."""
    size = layer.weight.shape
    vector = received(part, layer, given).flatten(1).shape == (len(given), size[1])
    return vector and size.numel() == classes * size[1] and size[0] == classes and layer.bias is not None


def _entering(subject: Subject, images: Tensor) -> list[Tensor]:
    """What enters each part of a member's new classifier for uint8 images; ValueError unless all are
    called once."""
    found: list[list[Tensor]] = [[] for _ in subject.fresh]
    with ExitStack() as hooks:
        for given, part in zip(found, subject.fresh, strict=True):
            hooks.enter_context(
                part.register_forward_pre_hook(lambda _, inputs, given=given: given.append(inputs[0]))
            )
        subject.module(preprocess(images, subject.source))
    entering = []
    for given in found:
        (x,) = given
        entering.append(x)
    return entering
