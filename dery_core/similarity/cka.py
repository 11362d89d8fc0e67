"""Linear centred kernel alignment as pure mathematics (Kornblith et al. 2019; the paper's eq. 1).

    CKA(X, Y) = <X̂X̂ᵀ, ŶŶᵀ> / (|X̂X̂ᵀ| |ŶŶᵀ|),   X̂ = X - its column means

Features are centred first and everything accumulates in float64: uncentred float32 loses digits.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dery_core.errors import DeryError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def linear_cka(x: ArrayLike, y: ArrayLike) -> float:
    """CKA in [0, 1] of two feature matrices (n, d) and (n, e): biased, in float64.

    Raises DeryError as `cka_matrix` does.
    """
    return float(cka_matrix([np.asarray(x), np.asarray(y)], names=["x", "y"])[0, 1])


def cka_matrix(
    features: Sequence[ArrayLike], names: Sequence[str] | None = None, memory: int = 256 * 2**20
) -> Floats:
    """CKA (M, M) of all pairs of M feature matrices (n, d_m): symmetric, unit diagonal, float64.

    All Gram matrices are stacked and multiplied once, in blocks of Gram rows that take about
    `memory` bytes; of the symmetric Grams only the upper part is computed.

    Raises DeryError when n < 4 or differs, and on features that are NaN, infinite or the same for
    every image; `names` (M,) says in the message which.
    """
    arrays = [np.asarray(feature) for feature in features]
    labels = list(names) if names is not None else [f"features {i}" for i in range(len(arrays))]
    if not arrays:
        return np.zeros((0, 0))
    scaled = [_Centred(array, label) for array, label in zip(arrays, labels, strict=True)]
    images = len(arrays[0])
    for array, label in zip(arrays, labels, strict=True):
        if len(array) != images:
            raise DeryError(f"{label} has {len(array)} images, but {labels[0]} has {images}.")

    product = np.zeros((len(arrays), len(arrays)))
    rows = max(1, min(images, memory // (8 * images * len(arrays))))
    for begin in range(0, images, rows):
        block = np.stack([feature.gram_rows(begin, begin + rows) for feature in scaled])
        # entries right of the block's own columns stand for their mirror images as well
        block[:, :, rows:] *= np.sqrt(2)
        flat = block.reshape(len(arrays), -1)
        product += flat @ flat.T
    norm = np.sqrt(np.diagonal(product))
    cka = np.clip(product / norm / norm[:, None], 0, 1)
    cka = (cka + cka.T) / 2
    np.fill_diagonal(cka, 1)
    return cka


class _Centred:
    """A checked feature matrix, centred and scaled to norm 1 when rows of it are asked for, so that a
    float64 copy of all features never exists at once."""

    def __init__(self, array: NDArray[Any], label: str) -> None:
        if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiub":
            raise DeryError(f"{label}: a real matrix (images, features) is needed, not {array.shape}.")
        if len(array) < 4:
            raise DeryError(f"{label}: CKA needs at least 4 images, not {len(array)}.")
        exact = array.astype(np.float64)
        if not np.isfinite(exact).all():
            raise DeryError(f"{label} holds NaN or infinite values, so it can't be compared.")
        # dividing by the largest value first keeps squares in range
        largest = float(np.abs(exact).max()) or 1.0
        self.array, self.mean = array, exact.mean(axis=0)
        spread = float(np.linalg.norm((exact - self.mean) / largest))
        # what varies by less than the numbers' own resolution is constant
        resolution = float(np.finfo(array.dtype if array.dtype.kind == "f" else np.float64).eps)
        if spread <= resolution * float(np.linalg.norm(exact / largest)):
            raise DeryError(f"{label} is the same for every image, so it can't be compared: leave it out.")
        self.scale = 1 / spread / largest

    def gram_rows(self, begin: int, end: int) -> Floats:
        """Rows begin to end of the Gram matrix, columns from `begin` on."""
        rest = (self.array[begin:].astype(np.float64) - self.mean) * self.scale
        return rest[: end - begin] @ rest.T
