"""Similarity tables of any number of made-up networks, for how the partition solvers scale.

Every network is a path of features on the same images. It begins at the images and follows one of a
few families, whose own paths drift away from a common one with depth, faster early than late; every
node adds noise of its own that later nodes keep in part. So neighbouring cuts are much alike, cuts
of the same depth fairly, and the diagonal of a pair of networks stands out, as in real tables. Sizes
grow with depth, as params do, the more so in some networks. All from one seed.
"""

import numpy as np

from dery_core.partition import BareTable

_IMAGES, _WIDTH, _FAMILIES, _KNOTS = 48, 12, 5, 9


def synthetic_table(models: int, seed: int = 0) -> BareTable:
    """Linear CKA between all cuts of so many networks of 12 to 40 nodes."""
    rng = np.random.default_rng(seed)
    picture = rng.normal(size=(_IMAGES, _WIDTH))
    common = _path(rng, picture, 0.75)
    families = [_mixed(common, _path(rng, picture, 0.75), 0.35) for _ in range(_FAMILIES)]
    features, sizes, nodes = [], [], rng.integers(12, 41, models)
    for count in nodes:
        family = families[rng.integers(_FAMILIES)]
        own, noise = rng.uniform(0.7, 1.4), np.zeros((_IMAGES, _WIDTH))
        features.append(picture)
        for cut in range(1, count + 1):
            depth = (cut / count) ** own * (_KNOTS - 1)
            low = min(int(depth), _KNOTS - 2)
            shared = (1 - (depth - low)) * family[low] + (depth - low) * family[low + 1]
            noise = 0.9 * noise + 0.25 * rng.normal(size=noise.shape)
            features.append(shared + noise)
        growth = rng.uniform(0, 2)
        sizes.append(np.cumsum([0, *(rng.uniform(0.5, 1.5, count) * np.arange(1, count + 1) ** growth)]))
    return BareTable(
        _cka(features),
        np.repeat(np.arange(models), nodes + 1),
        np.concatenate([np.arange(count + 1) for count in nodes]),
        np.concatenate(sizes),
        tuple(f"m{i:03d}" for i in range(models)),
    )


def _path(rng: np.random.Generator, begin: np.ndarray, kept: float) -> list[np.ndarray]:
    path = [begin]
    for _ in range(_KNOTS - 1):
        path.append(kept * path[-1] + np.sqrt(1 - kept**2) * rng.normal(size=begin.shape))
    return path


def _mixed(one: list[np.ndarray], other: list[np.ndarray], most: float) -> list[np.ndarray]:
    shares = np.linspace(0, most, len(one))
    return [(1 - share) * a + share * b for share, a, b in zip(shares, one, other, strict=True)]


def _cka(features: list[np.ndarray]) -> np.ndarray:
    """All pairs as one product of packed, centred, normalised Grams."""
    upper = np.triu_indices(_IMAGES)
    weight = np.where(upper[0] == upper[1], 1, np.sqrt(2))
    packed = np.empty((len(features), len(weight)))
    for row, feature in zip(packed, features, strict=True):
        centred = feature - feature.mean(axis=0)
        gram = (centred @ centred.T)[upper] * weight
        row[:] = gram / np.linalg.norm(gram)
    table = packed @ packed.T
    np.fill_diagonal(table, 1)
    return np.clip(table, 0, 1)
