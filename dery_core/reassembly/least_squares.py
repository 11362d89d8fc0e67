"""Ridge least squares from sums over rows: any number of rows, float64, the penalty by held-out error."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Self

import torch
from torch import Tensor

from dery_core.errors import DeryError

_CHUNK = 1 << 16
_CONSTANT = 1e-9
"""A feature varies if its variance is above this share of its mean square."""


class NotFinite(DeryError):
    """A network gives values that are infinite or not a number."""


@dataclass(frozen=True, eq=False)
class Products:
    """Σ x xᵀ (p, p), Σ x yᵀ (p, q) and Σ |y|² of `rows` rows about some point; `squares` is Σ x² (p)
    about the origin."""

    rows: int
    xx: Tensor
    xy: Tensor
    yy: float
    squares: Tensor

    def __add__(self, other: "Products") -> "Products":
        return Products(
            self.rows + other.rows,
            self.xx + other.xx,
            self.xy + other.xy,
            self.yy + other.yy,
            self.squares + other.squares,
        )

    def error(self, weight: Tensor) -> float:
        """Σ |y - weight x|² for `weight` (q, p)."""
        return self.yy - 2 * float((weight.T * self.xy).sum()) + float(((weight @ self.xx) * weight).sum())


class Moments:
    """Sums of rows x (p) and y (q) and of their products, float64, as rows come."""

    def __init__(self) -> None:
        self.rows = 0
        self._x = self._y = self._xx = self._xy = torch.zeros(())
        self._yy = 0.0

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add rows x (n, p) and y (n, q)."""
        for part_x, part_y in zip(x.split(_CHUNK), y.split(_CHUNK), strict=True):
            a, b = part_x.double(), part_y.double()
            self._x, self._y = _sum(self._x, a.sum(0)), _sum(self._y, b.sum(0))
            self._xx, self._xy = _sum(self._xx, a.T @ a), _sum(self._xy, a.T @ b)
            self._yy += float(b.square().sum())
        self.rows += len(x)

    def __add__(self, other: Self) -> "Moments":
        both = Moments()
        both.rows, both._yy = self.rows + other.rows, self._yy + other._yy
        for name in ("_x", "_y", "_xx", "_xy"):
            setattr(both, name, _sum(getattr(self, name), getattr(other, name)))
        return both

    @property
    def finite(self) -> bool:
        """Whether every value so far was a finite number."""
        return bool(self._xx.isfinite().all()) and math.isfinite(self._yy)

    def means(self) -> tuple[Tensor, Tensor]:
        """Means of x (p) and y (q)."""
        return self._x / self.rows, self._y / self.rows

    def about(self, x: Tensor, y: Tensor) -> Products:
        """Products of the rows less the points x (p) and y (q)."""
        n, sum_x, sum_y = self.rows, self._x, self._y
        xx = self._xx - torch.outer(sum_x, x) - torch.outer(x, sum_x) + n * torch.outer(x, x)
        xy = self._xy - torch.outer(sum_x, y) - torch.outer(x, sum_y) + n * torch.outer(x, y)
        yy = self._yy - 2 * float(sum_y @ y) + n * float(y @ y)
        return Products(n, xx, xy, yy, self._xx.diagonal())


def _sum(total: Tensor, more: Tensor) -> Tensor:
    """On the CPU, where float64 is at home."""
    return total + more.cpu()


def ridge(products: Products, penalties: Sequence[float]) -> list[Tensor]:
    """argmin over W (q, p) of Σ |y - W x|² + penalty · rows · Σ_i var(x_i) |W_i|², one for each penalty.

    The penalty is thus the same whatever unit a feature is in.
    """
    variance = products.xx.diagonal() / products.rows
    # A feature that never changes gets weight 0: of a constant the difference of sums leaves rounding noise.
    changes = variance > _CONSTANT * products.squares / products.rows
    inverse = torch.where(changes, variance, torch.inf).rsqrt()
    correlation = products.xx * torch.outer(inverse, inverse) / products.rows
    values, vectors = torch.linalg.eigh(correlation)
    projected = vectors.T @ (inverse[:, None] * products.xy / products.rows)
    return [
        (inverse[:, None] * (vectors @ (projected / (values.clamp_min(0) + penalty)[:, None]))).T
        for penalty in penalties
    ]


@dataclass(frozen=True, eq=False)
class Solution:
    """y ≈ weight (q, p) · x + biases[j] (q) for the rows of group j. `r2` is the share of the variance
    explained on the held-out rows, by a fit on the others."""

    weight: Tensor
    biases: tuple[Tensor, ...]
    penalty: float
    r2: float


def solve(
    kept: Sequence[Moments], held: Sequence[Moments], penalties: Sequence[float], intercept: bool = True
) -> Solution:
    """One weight for all groups of rows and, with an `intercept`, a bias for each.

    Fits on `kept` (one entry a group), takes the penalty with the smallest error on `held`, and fits
    on all rows with it. NotFinite when a value is infinite or not a number.
    """
    if not all(group.finite for group in (*kept, *held)):
        raise NotFinite(
            "The hybrid's blocks give values that are infinite or not a number for these images, so no seam "
            "can be fitted: choose other blocks."
        )
    means = [group.means() for group in kept]
    points = means if intercept else _origins(means)
    test = _products(held, points)
    errors = [test.error(weight) for weight in ridge(_products(kept, points), penalties)]
    best = min(range(len(errors)), key=errors.__getitem__)
    both = [a + b for a, b in zip(kept, held, strict=True)]
    points = [group.means() for group in both]
    points = points if intercept else _origins(points)
    (weight,) = ridge(_products(both, points), [penalties[best]])
    total = _products(held, means).yy
    # Targets that never change are explained by the bias.
    r2 = min(1.0, 1 - errors[best] / total) if total > 1e-12 * test.rows else 1.0
    return Solution(weight, tuple(y - weight @ x for x, y in points), penalties[best], r2)


def _origins(points: Sequence[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    return [(torch.zeros_like(x), torch.zeros_like(y)) for x, y in points]


def _products(groups: Sequence[Moments], points: Iterable[tuple[Tensor, Tensor]]) -> Products:
    return reduce(add, (group.about(*point) for group, point in zip(groups, points, strict=True)))
