"""Search: which hybrid is best within limits. Exact, with the 0-1 program as the yardstick."""

from dery_core.search.answers import Extremes, Front, Gain, Nearest
from dery_core.search.finder import Finder
from dery_core.search.linear import LinearScore, fit_linear
from dery_core.search.objective import MeasuredScore, Objective
from dery_core.search.program import Program
from dery_core.search.rules import Rules, blocks_left

__all__ = [
    "Extremes",
    "Finder",
    "Front",
    "Gain",
    "LinearScore",
    "MeasuredScore",
    "Nearest",
    "Objective",
    "Program",
    "Rules",
    "blocks_left",
    "fit_linear",
]
