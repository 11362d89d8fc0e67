"""A linear classifier in closed form: ridge regression to one-hot classes, scaled for cross-entropy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.linear_model import RidgeCV
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from dery_core.errors import DeryError

PENALTIES = np.logspace(-6, 3, 19)
"""Those tried, relative to the number of images times the features' mean variance."""

_SCORING = "neg_mean_squared_error"
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
        raise DeryError(
            "The network gives values that are infinite or not a number for these images, so no head can be "
            "fitted: choose other blocks."
        )
    x = features.double().cpu().numpy()
    y = labels.cpu().numpy()
    variance = float(x.var(axis=0).mean()) or 1.0
    targets = np.eye(num_classes)[y]
    # Sums in NumPy's BLAS depend on its threads in the last bit, and those on the machine.
    with threadpool_limits(1, user_api="blas"):
        alphas = PENALTIES * len(x) * variance
        penalty = RidgeCV(alphas=alphas, scoring=_SCORING).fit(x, targets).alpha_
        # Once more for its predictions: those of all penalties would be large with many classes.
        model = RidgeCV(alphas=[penalty], scoring=_SCORING, store_cv_results=True).fit(x, targets)
    predicted = model.cv_results_[:, :, 0]
    scale = _scale(predicted, y)
    return RidgeHead(
        weight=scale * model.coef_,
        bias=scale * model.intercept_,
        penalty=float(model.alpha_),
        top1=100.0 * float((predicted.argmax(1) == y).mean()),
    )


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
