"""`Plan`: where to cut a recorded network."""

from dataclasses import dataclass

from dery_core.zoo.layout import Layout


@dataclass(frozen=True)
class Cut:
    """A place to cut: before operation `position`, where only `values` are alive.

    `layouts` are the layouts it can have, likeliest first; `sure` when no probe is needed. A `packed`
    cut carries its values in one tensor (B, total), a streams layout.
    """

    position: int
    values: tuple[int, ...]
    layouts: tuple[Layout, ...] = ()
    sure: bool = True
    packed: bool = False


@dataclass(frozen=True)
class Unit:
    """Operations `start` to `end` (excluded) that stay together; `path` names the module."""

    path: str
    start: int
    end: int
    bare: bool = False


@dataclass(frozen=True)
class Plan:
    """Where to cut: `cuts[i]` ends node i; the last one begins the head.

    `units[i]` are the blocks inside node i.
    """

    cuts: tuple[Cut, ...]
    units: tuple[tuple[Unit, ...], ...]
