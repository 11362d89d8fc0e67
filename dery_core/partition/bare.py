"""Similarity tables of other makers: bare arrays in one .npz file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dery_core.errors import DeryError
from dery_core.partition.windows import Floats, Ints

_FIELDS = ("cka", "model", "cut", "cum_size", "names")


class BareTable(NamedTuple):
    """`similarity` (M, M) over all cuts of all models; `model`, `cut` and the model's `size` up to the cut,
    each (M,); `names` of the models."""

    similarity: Floats
    model: Ints
    cut: Ints
    size: Floats
    names: tuple[str, ...]


def is_bare_table(path: Path) -> bool:
    """Whether `path` is an .npz file with an array `cka`, which tables of DeRy Studio don't have."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return "cka" in file.files
    except Exception:  # numpy and zipfile raise whatever their parsers meet
        return False


def bare_table(path: Path) -> BareTable:
    """Read arrays `cka` (M, M) of any float type, `model`, `cut`, `cum_size` (M,) and `names`, as
    `build_problem` asks for them.

    What rounding to a small float type has left unlike its mirror image is set right. DeryError for a
    file that can't be read without pickle, and for arrays that are missing, ill-typed or ill-shaped.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _FIELDS if name in file.files}
    except FileNotFoundError as error:
        raise DeryError(f"{path} does not exist.") from error
    except Exception as error:
        raise DeryError(f"{path} can't be read: save plain arrays with numpy.savez, no objects.") from error
    for name in _FIELDS:
        if name not in arrays:
            raise DeryError(f"{path}: array '{name}' is missing; a table has {', '.join(_FIELDS)}.")
    cka, rows = arrays["cka"], len(arrays["cka"]) if arrays["cka"].ndim else 0
    if cka.dtype.kind != "f" or cka.shape != (rows, rows) or not rows:
        raise DeryError(f"{path}: array 'cka' must be a square matrix of floats, not {_said(cka)}.")
    for name, kinds, what in (("model", "iu", "whole"), ("cut", "iu", "whole"), ("cum_size", "iuf", "real")):
        if arrays[name].dtype.kind not in kinds or arrays[name].shape != (rows,):
            raise DeryError(
                f"{path}: array '{name}' must be {rows} {what} numbers, not {_said(arrays[name])}."
            )
    model, names = arrays["model"].astype(np.int64), arrays["names"]
    count = int(model.max()) + 1
    if names.dtype.kind != "U" or names.shape != (count,) or len(set(names.tolist())) < count:
        raise DeryError(
            f"{path}: array 'names' must be {count} different names, as 'model' says, not {_said(names)}."
        )
    size = arrays["cum_size"].astype(np.float64)
    if not (np.isfinite(cka).all() and np.isfinite(size).all()):
        raise DeryError(f"{path}: arrays 'cka' and 'cum_size' must be finite.")
    return BareTable(_mirrored(cka), model, arrays["cut"].astype(np.int64), size, tuple(names.tolist()))


def _mirrored(cka: Floats) -> Floats:
    """Symmetric, with a unit diagonal and nothing above 1, where it is so to within rounding; else as it
    is."""
    exact = cka.astype(np.float64)
    rounding = 2 * float(np.finfo(cka.dtype).eps)
    off = max(np.abs(exact - exact.T).max(), np.abs(np.diagonal(exact) - 1).max(), exact.max() - 1)
    if off <= rounding:
        exact = np.minimum((exact + exact.T) / 2, 1)
        np.fill_diagonal(exact, 1)
    return exact


def _said(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"
