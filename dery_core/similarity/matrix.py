"""All pairs of feature matrices at once, by any measure, in bounded memory."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import ceil
from pathlib import Path

import numpy as np

from dery_core.errors import DeryError
from dery_core.progress import ProgressFn, Ticker, silent
from dery_core.similarity.comparison import Comparison
from dery_core.similarity.gram import Cut, Floats, Gram, Shelf, Source
from dery_core.similarity.measures import Measure, slim
from dery_core.units import quantity

MEMORY = 2**30
"""Bytes that a comparison may take unless told otherwise."""

_PLAIN = Comparison()
_FLOAT = 8
_BLOCKS = 8
"""Blocks of rows at least, so that little is multiplied on both sides of the diagonal."""

_NOTHING = 1e-24
"""Squared norm of a Gram matrix of features of norm 1 that is rounding alone."""


def similarity_matrix(
    features: Sequence[Source],
    comparison: Comparison = _PLAIN,
    names: Sequence[str] | None = None,
    memory: int = MEMORY,
    report: ProgressFn = silent,
    scratch: Path | None = None,
) -> Floats:
    """Similarity (M, M) of all pairs of M feature matrices (n, d_m): symmetric, unit diagonal, float64.

    By the comparison's measure: in [0, 1], but that unbiased CKA may fall a little below 0. Every
    measure is the same for features that are rotated, mirrored, shifted or scaled as a whole.
    Arithmetic is float64 whatever the features are. `memory` bounds the bytes taken, features in
    memory excepted: those read from disk are read as often as that asks for, and what a measure
    makes of them goes to a temporary folder in `scratch` where it doesn't fit.

    Raises DeryError when n < 4 or differs, on features that are NaN, infinite or the same for every
    image (`names` (M,) says in the message which), and when the images are too many for `memory`.
    """
    labels = list(names) if names is not None else [f"features {i}" for i in range(len(features))]
    if not features:
        return np.zeros((0, 0))
    images = _images(features, labels)
    parts = minibatches(images, comparison.batch)
    count, by_pairs = len(features), comparison.definition.pair is not None
    steps = count * (count - 1) // 2 if by_pairs else 2 * count * len(parts)
    tick = Ticker("Comparison", count + steps, "steps", report)
    cuts = []
    for source, label in zip(features, labels, strict=True):
        cuts.append(Cut(source, label, parts))
        tick()
    if by_pairs:
        values = _pair_by_pair(cuts, comparison.definition, memory, tick)
    else:
        with _folder(scratch) as folder:
            values = _stacked(cuts, comparison, memory, tick, folder)
    values = np.clip((values + values.T) / 2, -1 if comparison.unbiased else 0, 1)
    np.fill_diagonal(values, 1)
    return values


def _images(features: Sequence[Source], labels: Sequence[str]) -> int:
    """How many images all the features are of."""
    counts = [source.shape[0] if source.shape else 0 for source in features]
    for label, count in zip(labels, counts, strict=True):
        if count != counts[0]:
            raise DeryError(f"{label} has {count} images, but {labels[0]} has {counts[0]}.")
    return counts[0]


def minibatches(images: int, batch: int | None) -> tuple[slice, ...]:
    """All images, or minibatches of at most `batch` whose sizes differ by at most one."""
    count = 1 if batch is None else max(1, ceil(images / batch))
    edges = [images * i // count for i in range(count + 1)]
    return tuple(slice(begin, end) for begin, end in pairwise(edges))


@contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="comparison-", dir=parent) as name:
            yield Path(name)
    except OSError as error:
        raise DeryError(
            f"What is compared doesn't fit into memory, nor into {parent or tempfile.gettempdir()} "
            f"({error.strerror or error}): free some space or allow more memory."
        ) from error


def _stacked(cuts: Sequence[Cut], comparison: Comparison, memory: int, tick: Ticker, folder: Path) -> Floats:
    """All pairs as products of stacked Gram matrices, summed over minibatches."""
    measure, count = comparison.definition, len(cuts)
    longest = max(part.stop - part.start for part in cuts[0].parts)
    room = _room(cuts, longest, memory, 2 * _FLOAT * count * longest)
    held = _FLOAT * longest * sum(cut.width for cut in cuts)
    keep = held <= room // 4
    products = np.zeros((count, count))
    for rows in cuts[0].parts:
        images = rows.stop - rows.start
        shelf = Shelf(folder, room // 4)
        grams = []
        for cut in cuts:
            assert measure.grams is not None
            grams.append(measure.grams(cut.part(rows, keep), comparison.unbiased, shelf))
            tick()
        stack = room - shelf.used - keep * held
        # HSIC without bias is the product over n (n - 3); every minibatch's counts the same
        weight = longest * (longest - 3) / (images * (images - 3))
        products += weight * _product(grams, images, stack, tick)
    for cut, square in zip(cuts, np.diagonal(products), strict=True):
        if square <= _NOTHING:
            raise DeryError(
                f"{cut.label} places all images equally far apart, so nothing unbiased can be said of it: "
                "take more images or the plain form."
            )
    return measure.values(products)


def _product(grams: Sequence[tuple[Gram, ...]], images: int, memory: int, tick: Ticker) -> Floats:
    """Frobenius products (M, M) of the left Gram of one cut with the right Gram of another.

    Grams are symmetric, so that only what is right of the diagonal is made, in blocks of rows.
    """
    count, sides = len(grams), len(grams[0])
    rows = max(1, min(memory // (_FLOAT * sides * count * images), ceil(images / _BLOCKS)))
    stacks = [np.empty(count * rows * images) for _ in range(sides)]
    product = np.zeros((count, count))
    for begin in range(0, images, rows):
        end = min(images, begin + rows)
        flat = []
        for side, stack in enumerate(stacks):
            block = stack[: count * (end - begin) * (images - begin)].reshape(count, end - begin, -1)
            for gram, out in zip(grams, block, strict=True):
                gram[side].fill(out, begin)
            # entries right of the block's own columns stand for their mirror images as well
            block[:, :, end - begin :] *= np.sqrt(2)
            flat.append(block.reshape(count, -1))
        product += flat[0] @ flat[-1].T
        tick(count * end // images - count * begin // images)
    return product


def _pair_by_pair(cuts: Sequence[Cut], measure: Measure, memory: int, tick: Ticker) -> Floats:
    """All pairs one by one: as many cuts at a time as fit stay in memory, the others pass by."""
    images, count = cuts[0].images, len(cuts)
    assert measure.pair is not None
    largest = _FLOAT * images * min(images, max(cut.width for cut in cuts))
    group = _room(cuts, images, memory, 2 * largest) // largest - 1  # and one that passes by
    values = np.eye(count)
    held: list[Floats] = []
    for begin in range(0, count, group):
        held.clear()  # before others take their place
        held += [_slim(cut) for cut in cuts[begin : begin + group]]
        for j in range(begin, count):
            other = held[j - begin] if j < begin + group else _slim(cuts[j])
            for i, features in enumerate(held[: j - begin], begin):
                values[i, j] = values[j, i] = measure.pair(features, other)
                tick()
    return values


def _slim(cut: Cut) -> Floats:
    return slim(cut.part(cut.parts[0]).read())


def _room(cuts: Sequence[Cut], images: int, memory: int, least: int) -> int:
    """Bytes of `memory` beside the products and what is made of one cut at a time; `least` are needed."""
    widest = max(cut.width for cut in cuts)
    room = memory - _FLOAT * (3 * len(cuts) ** 2 + 3 * images * max(images, widest))
    if room < least:
        raise DeryError(
            f"{images} images at once of {len(cuts)} cuts need {quantity(memory - room + least)}B of memory: "
            "allow more, or take fewer images."
        )
    return room
