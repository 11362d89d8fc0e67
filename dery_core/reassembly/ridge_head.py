"""A linear classifier in closed form: ridge regression to one-hot classes, scaled for cross-entropy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]
from torch import Tensor

from dery_core.errors import DeryError
from dery_core.reassembly.least_squares import NotFinite

Floats = NDArray[np.float64]

PENALTIES = np.logspace(-6, 3, 19)
"""Those tried, relative to the number of images times the features' mean variance."""

_LARGEST_SCALE = 100.0


@dataclass(frozen=True, eq=False)
class RidgeHead:
    """logits = weight (classes, d) · x + bias (classes).

    `penalty` is scikit-learn's alpha; `top1` the leave-one-out accuracy in percent.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    penalty: float
    top1: float


def fit_ridge_head(features: Tensor, labels: Tensor, num_classes: int) -> RidgeHead:
    """Fit on features (n, d) and labels (n,).

    The penalty has the smallest squared leave-one-out error. Squared error knows no softmax: the
    scores are multiplied by the one number with the smallest cross-entropy on the leave-one-out
    predictions, so that training doesn't begin by finding it. DeryError for fewer images than classes,
    and for features that are not finite.
    """
    check_labels(labels, num_classes)
    if not bool(features.isfinite().all()):
        raise NotFinite(
            "The network gives values that are infinite or not a number for these images, so no head can be "
            "fitted: choose other blocks."
        )
    x = features.double().cpu().numpy()
    y = labels.cpu().numpy()
    penalties = PENALTIES * len(x) * (float(x.var(axis=0).mean()) or 1.0)
    targets = np.eye(num_classes)[y]
    with one_blas_thread():
        mean_x, mean_y = x.mean(axis=0), targets.mean(axis=0)
        left, squares, right = thin_svd(x - mean_x)
        on_left = left.T @ (targets - mean_y)
        left_out = partial(_left_out, left, squares, on_left, targets)
        errors = [float(np.square(left_out(penalty) - targets).mean()) for penalty in penalties]
        penalty = float(penalties[np.argmin(errors)])
        predicted = left_out(penalty)
        weight = (right * (np.sqrt(squares) / (squares + penalty)) @ on_left).T
        scale = _scale(predicted, y)
        return RidgeHead(
            weight=scale * weight,
            bias=scale * (mean_y - weight @ mean_x),
            penalty=penalty,
            top1=100.0 * float((predicted.argmax(1) == y).mean()),
        )


def thin_svd(x: Floats) -> tuple[Floats, Floats, Floats]:
    """x (n, d) = left (n, r) · √squares (r) · right (d, r)ᵀ, r its numerical rank.

    By the eigenvectors of the smaller of x xᵀ and xᵀ x: several times as fast as a singular value
    decomposition, and good to half its digits, where a ridge penalty or noise decides anyway.
    """
    n, d = x.shape
    squares, vectors = np.linalg.eigh(x @ x.T if n < d else x.T @ x)
    kept = squares > max(n, d) * np.finfo(np.float64).eps * squares[-1]
    squares, vectors = squares[kept], vectors[:, kept]
    others = (x.T if n < d else x) @ vectors / np.sqrt(squares)
    return (vectors, squares, others) if n < d else (others, squares, vectors)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """NumPy's sums depend on the threads of its BLAS in the last bit, and those on the machine."""
    with _blas().limit(limits=1, user_api="blas"):
        yield


@cache
def _blas() -> ThreadpoolController:
    """Looking for the libraries takes longer than a small fit."""
    return ThreadpoolController()


def _left_out(left: Floats, squares: Floats, on_left: Floats, targets: Floats, penalty: float) -> Floats:
    """What a ridge regression on all rows but one, with intercept, predicts for that one: (n, classes)."""
    shares = squares / (squares + penalty)
    residuals = targets - targets.mean(axis=0) - left @ (shares[:, None] * on_left)
    leverages = 1 / len(left) + np.square(left) @ shares
    predicted: Floats = targets - residuals / (1 - leverages)[:, None]
    return predicted


def check_labels(labels: Tensor, num_classes: int) -> None:
    """DeryError unless there are as many labels as classes, all of them within the classes."""
    if len(labels) < num_classes:
        raise DeryError(
            f"{len(labels)} images are too few to fit a head for {num_classes} classes: take at least "
            "as many, or start from random weights."
        )
    if int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        raise DeryError(
            f"the labels go from {int(labels.min())} to {int(labels.max())}, but the head has {num_classes} "
            "classes, from 0 up: every image needs a label of one of them."
        )


def _scale(predicted: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The factor that gives the predictions (n, classes) the smallest cross-entropy."""

    def cross_entropy(log_scale: float) -> float:
        return -float(
            log_softmax(np.exp(log_scale) * predicted, axis=1)[np.arange(len(labels)), labels].mean()
        )

    found = minimize_scalar(cross_entropy, bounds=(0.0, np.log(_LARGEST_SCALE)), method="bounded")
    return float(np.exp(found.x))
