"""The closed-form start: new layers fitted to some training images before the first epoch."""

import torch
from torch import nn

from dery_core.data import ImageSet, Task, preprocess
from dery_core.modules import evaluating, received
from dery_core.progress import ProgressFn, Ticker
from dery_core.reassembly import Hybrid
from dery_core.reassembly.closed_form import fit_closed_form, write_linear
from dery_core.reassembly.ridge_head import fit_ridge_head
from dery_core.training.seeds import shuffled
from dery_core.training.spec import RunSpec
from dery_core.training.subject import Subject
from dery_core.zoo import load_zoo

START_IMAGES = 1024
"""Training images that a start is fitted on, unless there are fewer."""

_IMAGES_PER_CLASS = 8
"""At least as many are taken for a task of many classes."""


def fit_start(subject: Subject, spec: RunSpec, task: Task, report: ProgressFn) -> str:
    """Give the subject's new layers their closed-form weights; a sentence says how well they fit.

    A hybrid's seams and head are fitted as `fit_closed_form` does. A member has no seams, but its new
    classifier is fitted by the same ridge regression on the same images: what a comparison then shows
    is the networks' difference, not the start's. A classifier that is not one linear layer stays
    random. DeryError for fewer training images than classes.
    """
    images = _drawn(task, spec.seed)
    if isinstance(subject.module, Hybrid):
        assert spec.hybrid is not None
        zoo = load_zoo(spec.zoo)
        return str(
            fit_closed_form(subject.module, spec.hybrid, zoo, images.images, images.labels, report=report)
        )
    return _fit_classifier(subject, images, spec.recipe.batch_size, report)


def _drawn(task: Task, seed: int) -> ImageSet:
    """The images of a start: the same for hybrid and members of one seed."""
    count = max(START_IMAGES, _IMAGES_PER_CLASS * len(task.classes))
    rows = shuffled(len(task.train), seed, 0)[:count]
    return ImageSet(task.train.images[rows], task.train.labels[rows])


def _fit_classifier(subject: Subject, images: ImageSet, batch_size: int, report: ProgressFn) -> str:
    (classifier, *others) = subject.fresh
    if others or not isinstance(classifier, nn.Linear) or classifier.bias is None:
        return "The classifier is not one linear layer with a bias: it starts from random weights."
    tick = Ticker("Closed-form start", len(images), "images", report)
    features = []
    with torch.no_grad(), evaluating(subject.module):
        for batch in images.images.split(batch_size):
            batch = preprocess(batch.to(classifier.weight.device), subject.source)
            features.append(received(subject.module, classifier, batch))
            tick(len(batch))
    fitted = fit_ridge_head(torch.cat(features), images.labels, classifier.out_features)
    write_linear(classifier, fitted)
    return (
        f"Closed-form start from {len(images)} images. The classifier is right on {fitted.top1:.1f} % of "
        "them when each is left out in turn."
    )
