"""Readable, unique names of nodes: the paths of the modules they hold."""

import os
from collections import Counter
from collections.abc import Sequence

from dery_core.zoo.plan import Plan


def node_names(plan: Plan, paths: Sequence[str]) -> list[str]:
    """A name for every node of a plan. `paths` holds the module that a node is, "" for a stretch."""
    names = []
    for index, (units, path) in enumerate(zip(plan.units, paths, strict=False)):
        if path or len(units) == 1:
            names.append(path or ("stem" if index == 0 else units[0].path))
        else:
            names.append(_common([unit.path for unit in units]) or ("stem" if index == 0 else units[0].path))
    return _unique(names)


def _common(paths: Sequence[str]) -> str:
    """Path of the module around all of them, or first and last."""
    around = os.path.commonprefix([path.split(".") for path in paths])
    last = paths[-1].split(".")[len(around) :]
    return f"{paths[0]}–{'.'.join(last)}" if last else paths[0]


def _unique(names: Sequence[str]) -> list[str]:
    count: Counter[str] = Counter()
    unique = []
    for name in names:
        count[name] += 1
        unique.append(name if count[name] == 1 else f"{name}#{count[name]}")
    return unique
