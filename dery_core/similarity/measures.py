"""The measures of similarity: what each says, where it is from, and which Gram matrices it multiplies.

But for Procrustes, every measure is a product of two vectors: a Gram matrix of one cut with one of
the other, unrolled. So all pairs of all cuts are one matrix product of the stacked Grams. With X̂ a
cut's features, centred and of norm 1, and P the projection onto the span of its columns:

    linear CKA    <X̂X̂ᵀ, ŶŶᵀ> / (|X̂X̂ᵀ| |ŶŶᵀ|)          unbiased: both U-centred (Song et al. 2012)
    RBF CKA       the same of exp(-|x - x'|² / 2σ²), centred; σ² the median squared distance
    regression    (<P_X, ŶŶᵀ> + <P_Y, X̂X̂ᵀ>) / 2           the mean R² of both directions
    SVCCA         <P_X, P_Y> / min(rank P_X, rank P_Y)       P of the directions that hold 99 % of variance:
                                                             the mean R², as in table 1 of Kornblith et al.
    Procrustes    |X̂ᵀŶ|_*                                  the sum of singular values, pair by pair
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dery_core.similarity.gram import Centring, Floats, Gram, Part, Shelf, squared_distances

VARIANCE_HELD = 0.99
"""Share of a layer's variance that SVCCA's directions hold, as its authors take it."""

SMALLEST_DIRECTION = 1e-6
"""Directions whose singular value is a smaller share of the largest are rounding, not features."""


@dataclass(frozen=True)
class Measure:
    """A measure's `title`, one plain `sentence` on what it says, and its `source`.

    `grams` makes of some images of a cut the Gram matrices that are multiplied: one, or one for each
    side of the product; told whether the debiased form is wanted, which there is where `debiased`.
    `values` (M, M) makes the similarities of the products (M, M), or else `pair` compares two cuts'
    centred features (n, d) of norm 1. Where `small_directions` of little variance count for much,
    features need all digits.
    """

    title: str
    sentence: str
    source: str
    debiased: bool = False
    small_directions: bool = False
    grams: Callable[[Part, bool, Shelf], tuple[Gram, ...]] | None = None
    values: Callable[[Floats], Floats] = lambda products: products
    pair: Callable[[Floats, Floats], float] | None = None


def _linear(part: Part, unbiased: bool, shelf: Shelf) -> tuple[Gram, ...]:
    if not unbiased:
        return (Gram(part.read),)
    # Rows of a centred Gram sum to 0.
    squares = part.squares()
    return (Gram(part.read, Centring.of(np.zeros_like(squares), squares, True)),)


def _rbf(part: Part, unbiased: bool, shelf: Shelf) -> tuple[Gram, ...]:
    width, squares = 2 * part.cut.bandwidth, part.squares()

    def exponential(products: Floats, begin: int) -> Floats:
        squared_distances(products, squares, begin)
        products /= -width
        return np.exp(products, out=products)

    gram = part.distances()
    gram /= -width
    np.exp(gram, out=gram)
    centre = Centring.of(gram.sum(axis=1), np.diagonal(gram).copy(), unbiased)
    return (Gram(part.read, lambda products, begin: centre(exponential(products, begin), begin)),)


def _regression(part: Part, unbiased: bool, shelf: Shelf) -> tuple[Gram, ...]:
    directions, sizes = _directions(part)
    held = directions[:, sizes > SMALLEST_DIRECTION * sizes[0]]
    return Gram(shelf.keep(held)), Gram(part.read)


def _svcca(part: Part, unbiased: bool, shelf: Shelf) -> tuple[Gram, ...]:
    directions, sizes = _directions(part)
    variance = np.cumsum(np.square(sizes))
    count = int(np.searchsorted(variance, VARIANCE_HELD * variance[-1])) + 1
    return (Gram(shelf.keep(directions[:, :count])),)


def _directions(part: Part) -> tuple[Floats, Floats]:
    """Left singular vectors (n, r) of the features and their singular values (r,)."""
    directions, sizes, _ = np.linalg.svd(slim(part.read()), full_matrices=False)
    return directions, sizes


def slim(features: Floats) -> Floats:
    """Features (n, min(n, d)) with the same inner products between images as `features` (n, d)."""
    n, width = features.shape
    return features if width <= n else np.asarray(np.linalg.qr(features.T, mode="r")).T


def _nuclear_norm(x: Floats, y: Floats) -> float:
    return float(np.linalg.svd(x.T @ y, compute_uv=False).sum())


def _cosine(products: Floats) -> Floats:
    norm = np.sqrt(np.diagonal(products))
    return products / norm / norm[:, None]


def _both_directions(products: Floats) -> Floats:
    return (products + products.T) / 2


def _by_the_smaller(products: Floats) -> Floats:
    ranks = np.diagonal(products)
    return products / np.minimum(ranks, ranks[:, None])


MEASURES = {
    "cka": Measure(
        "Linear CKA",
        "1 where two layers place the images alike up to rotation and scale; directions of large variance "
        "count most.",
        "Kornblith et al. 2019; unbiased: Song et al. 2012, Nguyen et al. 2021",
        debiased=True,
        grams=_linear,
        values=_cosine,
    ),
    "rbf-cka": Measure(
        "RBF CKA",
        "CKA of a Gaussian kernel as wide as the median distance between images: near neighbours count, "
        "far ones hardly.",
        "Kornblith et al. 2019",
        debiased=True,
        grams=_rbf,
        values=_cosine,
    ),
    "regression": Measure(
        "Linear regression R²",
        "The share of one layer's variance that a linear map from the other predicts, the mean of both "
        "directions; 1 throughout where features are as many as images.",
        "Kornblith et al. 2019",
        small_directions=True,
        grams=_regression,
        values=_both_directions,
    ),
    "svcca": Measure(
        "SVCCA R²",
        "The mean squared canonical correlation, over the smaller rank, of the directions that hold 99 % of "
        "each layer's variance, each counting the same; near 1 throughout where those are about as many as "
        "images.",
        "Kornblith et al. 2019 (table 1, R² of SVCCA); the directions: Raghu et al. 2017, who take the mean "
        "correlation instead of its square",
        small_directions=True,
        grams=_svcca,
        values=_by_the_smaller,
    ),
    "procrustes": Measure(
        "Orthogonal Procrustes",
        "How closely the best rotation brings one layer onto the other; directions of small variance count "
        "more than in CKA.",
        "Ding et al. 2021, Williams et al. 2021",
        small_directions=True,
        pair=_nuclear_norm,
    ),
}
