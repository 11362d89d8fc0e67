"""Feature matrices as what every measure is made of: rows of Gram matrices, in float64.

Features are centred before anything is multiplied: uncentred products lose their digits where the
mean is large, in float32 visibly so.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dery_core.errors import DeryError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_CHUNK = 2**22
"""Numbers read at once where a matrix is looked through."""


class Source(Protocol):
    """A matrix (n, d) whose rows can be read: an array, or one on disk."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, rows: slice, /) -> Any: ...


class Cut:
    """A checked feature matrix (n, d), of which `parts` of the images are compared at a time.

    Raises DeryError on features that are no real matrix, too few, NaN or infinite, or the same for
    every image; `label` says in the message which.
    """

    def __init__(self, source: Source, label: str, parts: Sequence[slice]) -> None:
        if len(source.shape) != 2 or source.shape[1] == 0 or source.dtype.kind not in "fiub":
            raise DeryError(f"{label}: a real matrix (images, features) is needed, not {source.shape}.")
        if source.shape[0] < 4:
            raise DeryError(f"{label}: a comparison needs at least 4 images, not {source.shape[0]}.")
        self.source, self.label, self.parts = source, label, parts
        self.images, self.width = source.shape
        largest, total = 0.0, np.zeros(self.width)
        for chunk in self._chunks():
            if not np.isfinite(chunk).all():
                raise DeryError(f"{label} holds NaN or infinite values, so it can't be compared.")
            largest = max(largest, float(np.abs(chunk).max()))
            total += chunk.sum(axis=0)
        largest, self.mean = largest or 1.0, total / self.images
        # dividing by the largest value first keeps squares in range
        spread, size = (
            np.sqrt(sum(float(np.square((chunk - mean) / largest).sum()) for chunk in self._chunks()))
            for mean in (self.mean, 0.0)
        )
        # What varies by less than the resolution of a network's float32 is its rounding.
        kind = self.source.dtype if self.source.dtype == np.float64 else np.dtype(np.float32)
        if spread <= float(np.finfo(kind).eps) * size:
            raise DeryError(f"{label} is the same for every image, so it can't be compared: leave it out.")
        self.scale = float(1 / spread / largest)

    def _chunks(self) -> Iterator[Floats]:
        step = max(1, _CHUNK // self.width)
        for begin in range(0, self.images, step):
            yield self.source[slice(begin, begin + step)].astype(np.float64)

    def part(self, rows: slice, keep: bool = False) -> "Part":
        return Part(self, rows, keep)

    @cached_property
    def bandwidth(self) -> float:
        """Median squared distance between images, in units of the cut's scale; of several parts
        their mean. An image's distance to itself counts, as in the official code."""
        medians = []
        for rows in self.parts:
            distances = self.part(rows).distances().ravel()
            middle = (len(distances) - 1) // 2
            distances.partition(middle)
            medians.append(float(distances[middle]))
        if not all(medians):
            raise DeryError(
                f"{self.label} is the same for most pairs of images, so an RBF kernel has no width: "
                "take linear CKA."
            )
        return float(np.mean(medians))


class Part:
    """Some images of a cut, centred on their own mean; all images together have Frobenius norm 1."""

    def __init__(self, cut: Cut, rows: slice, keep: bool) -> None:
        self.cut, self.rows = cut, rows
        self.images = rows.stop - rows.start
        whole = self.images == cut.images
        exact = None if whole and not keep else self._exact()
        self.mean = cut.mean if whole or exact is None else exact.mean(axis=0)
        self._kept = self._centred(exact) if keep and exact is not None else None

    def read(self, begin: int = 0) -> Floats:
        """Rows from `begin` on, (n - begin, d)."""
        return self._centred(self._exact(begin)) if self._kept is None else self._kept[begin:]

    def _exact(self, begin: int = 0) -> Floats:
        rows = self.cut.source[slice(self.rows.start + begin, self.rows.stop)]
        return np.asarray(rows.astype(np.float64))

    def _centred(self, rows: Floats) -> Floats:
        rows -= self.mean
        rows *= self.cut.scale
        return rows

    def distances(self) -> Floats:
        """Squared distances (n, n) between the images."""
        features = self.read()
        gram = features @ features.T
        return squared_distances(gram, np.diagonal(gram).copy(), 0)

    def squares(self) -> Floats:
        """Squared norm (n,) of every image's features."""
        return np.asarray(np.square(self.read()).sum(axis=1))


@dataclass(frozen=True)
class Gram:
    """A Gram matrix (n, n) of which rows are made when they are asked for.

    `factor` gives rows from some row on of F (n, r); `kernel` turns, in place, products of F's rows
    (rows from `begin`, columns from `begin` on) into what is compared.
    """

    factor: Callable[[int], Floats]
    kernel: Callable[[Floats, int], object] | None = None

    def fill(self, out: Floats, begin: int) -> None:
        """Write rows from `begin` on, as many as `out` has, columns from `begin` on."""
        rest = self.factor(begin)
        np.matmul(rest[: len(out)], rest.T, out=out)
        if self.kernel is not None:
            self.kernel(out, begin)


def squared_distances(products: Floats, squares: Floats, begin: int) -> Floats:
    """Turn inner products (rows and columns from `begin` on) into squared distances, in place."""
    products *= -2
    products += squares[begin : begin + len(products), None]
    products += squares[begin:]
    return np.maximum(products, 0, out=products)


@dataclass(frozen=True)
class Centring:
    """Double centring of a kernel matrix K (n, n): K_ij - offset_i - offset_j + constant.

    The debiased one ("U-centring", Song et al. 2012) leaves the diagonal out of all means and sets
    it to 0; products of such matrices over n (n - 3) are HSIC without bias.
    """

    offsets: Floats
    constant: float
    unbiased: bool

    @classmethod
    def of(cls, row_sums: Floats, diagonal: Floats, unbiased: bool) -> "Centring":
        n = len(row_sums)
        if not unbiased:
            return cls(row_sums / n, float(row_sums.sum() / n / n), False)
        rest = row_sums - diagonal
        return cls(rest / (n - 2), float(rest.sum() / (n - 1) / (n - 2)), True)

    def __call__(self, rows: Floats, begin: int) -> None:
        rows -= self.offsets[begin : begin + len(rows), None]
        rows -= self.offsets[begin:]
        rows += self.constant
        if self.unbiased:
            np.fill_diagonal(rows, 0)


class Shelf:
    """Keeps factors (n, r): in memory as long as `room` bytes last, then in files of `folder`."""

    def __init__(self, folder: Path, room: int) -> None:
        self._folder, self._room, self._count = folder, room, 0
        self.used = 0

    def keep(self, factor: Floats) -> Callable[[int], Floats]:
        """What reads the factor's rows from some row on."""
        if self.used + factor.nbytes <= self._room:
            self.used += factor.nbytes
            return lambda begin: factor[begin:]
        self._count += 1
        path = self._folder / f"{self._count}.npy"
        np.save(path, factor)
        # Mapped and let go at once: pages that stay mapped would count as the process's memory.
        return lambda begin: np.array(np.load(path, mmap_mode="r")[begin:])
