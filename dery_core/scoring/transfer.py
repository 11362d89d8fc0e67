"""Transferability: what features and their labels say about a classifier trained on them, on arrays.

Each score takes what a network gives for n labelled images and is higher where more is promised.
`n`, `d`, `classes` and `sources` are the numbers of images, features, target and source classes.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from dery_core.errors import DeryError
from dery_core.reassembly.least_squares import NotFinite
from dery_core.reassembly.ridge_head import Floats, thin_svd

Labels = NDArray[np.int64]

_STEPS = 100
_TOLERANCE = 1e-5
_FLOOR = 1e-12
"""Smallest share of a target's square that a fit may leave: features that separate the images perfectly
would have infinite evidence."""

_SMALLEST = 1e-3
"""Smallest variance of a direction that counts in the H-score, relative to the largest."""


def log_me(features: Floats, labels: Labels) -> float:
    """LogME: log maximum evidence per image of a Bayesian linear model, the mean over the classes.

    `features` (n, d), `labels` (n,). Each class is told from all others by a regression to 1 and 0,
    w ~ N(0, 1/α) and noise of precision β, with α and β where the evidence is largest (You et al., ICML
    2021, eq. 2 and algorithm 1; by the fixed point of You et al., JMLR 2022, algorithm 3: one SVD for
    all classes). Classes without an image don't count.
    """
    _check(features, labels)
    targets = _one_hot(labels)
    n = len(features)
    left, squares, _ = thin_svd(features)
    spectrum = squares[:, None]
    explained = np.square(left.T @ targets)
    total = targets.sum(axis=0)  # a target of 0 and 1 is its own square
    unexplained = np.maximum(total - explained.sum(axis=0), 0.0)
    alpha, beta = np.ones(len(total)), np.ones(len(total))
    for _ in range(_STEPS):
        ratio = alpha / beta
        weights = (spectrum * explained / np.square(ratio + spectrum)).sum(axis=0)
        shrunk = np.square(ratio / (ratio + spectrum))
        error = np.maximum(unexplained + (shrunk * explained).sum(axis=0), _FLOOR * total)
        used = (spectrum / (ratio + spectrum)).sum(axis=0)
        evidence = 0.5 * (
            n * np.log(beta)
            + np.log(alpha / (alpha + beta * spectrum)).sum(axis=0)
            - n * np.log(2 * np.pi)
            - beta * error
            - alpha * weights
        )
        alpha = used / np.maximum(weights, _FLOOR)
        beta = np.maximum(n - used, _FLOOR) / error
        if np.all(np.abs(alpha / beta - ratio) <= _TOLERANCE * ratio):
            break
    return float(evidence.mean() / n)


def h_score(features: Floats, labels: Labels) -> float:
    """H-score: tr(cov(f)⁻¹ cov(E[f | y])), from 0 to one less than the classes (Bao et al., ICIP 2019,
    eq. 3).

    `features` (n, d), `labels` (n,). The inverse is taken on the directions with at least a thousandth of
    the largest one's variance: in the others a few images look separable by chance.
    """
    _check(features, labels)
    targets = _one_hot(labels)
    left, squares, _ = thin_svd(features - features.mean(axis=0))
    if not len(squares):
        return 0.0
    # along these the features' covariance is the identity, times 1 / n
    whitened = left[:, squares >= _SMALLEST * squares.max()]
    return float((np.square(targets.T @ whitened).sum(axis=1) / targets.sum(axis=0)).sum())


def leep(logits: Floats, labels: Labels) -> float:
    """LEEP: mean log likelihood of the labels given the source classifier's opinion (Nguyen et al.,
    ICML 2020, eq. 2). At most 0.

    `logits` (n, sources) are the source classifier's, `labels` (n,) the target's: the classifier's
    classes z count by their probabilities θ(x)_z, and P(y | z) is what these say over all images.
    """
    _check(logits, labels)
    opinions = softmax(logits, axis=1)
    likely = opinions @ _given(_one_hot(labels).T @ opinions).T
    _, columns = np.unique(labels, return_inverse=True)
    return float(np.log(likely[np.arange(len(labels)), columns]).mean())


def nce(logits: Floats, labels: Labels) -> float:
    """NCE: minus the conditional entropy, in nats, of the labels given the class that the source
    classifier names (Tran et al., ICCV 2019, eq. 4). At most 0.

    `logits` (n, sources) are the source classifier's, `labels` (n,) the target's.
    """
    _check(logits, labels)
    named = np.eye(logits.shape[1])[logits.argmax(axis=1)]
    joint = _one_hot(labels).T @ named / len(labels)
    seen = joint > 0
    return float((joint[seen] * np.log(_given(joint)[seen])).sum())


def _given(joint: Floats) -> Floats:
    """P(y | z) from P(y, z) (classes, sources), times any constant; 0 for a z that never is."""
    total = joint.sum(axis=0)
    return joint / np.where(total > 0, total, 1.0)


def _one_hot(labels: Labels) -> Floats:
    """(n, classes that occur)."""
    present, columns = np.unique(labels, return_inverse=True)
    one_hot: Floats = np.eye(len(present))[columns]
    return one_hot


def _check(values: Floats, labels: Labels) -> None:
    if len(values) != len(labels):
        raise DeryError(
            f"{len(labels)} labels for the features of {len(values)} images: every one needs one."
        )
    if not np.isfinite(values).all():
        raise NotFinite(
            "The network gives values that are infinite or not a number for these images, so it can't be "
            "scored: choose other blocks."
        )
