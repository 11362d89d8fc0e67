"""How counts of parameters and MACs, and scores, are written for people, and counts read from them.

>>> quantity(1_234_567), quantity(40_000), parse_quantity("1.5M")
('1.23 M', '40 k', 1500000)
"""

import math
import re

from dery_core.errors import DeryError

_PREFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


def quantity(count: float) -> str:
    """A count in three significant digits with k, M or G."""
    for size, prefix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        # 999,500 and above rounds to the next prefix's 1.
        if abs(count) >= size * 0.9995:
            return f"{count / size:.3g} {prefix}"
    return f"{count:.3g}"


def figure(value: float) -> str:
    """Any value, such as a score, in four digits, with k, M or G from 10,000 on."""
    return quantity(value) if 10_000 <= abs(value) < math.inf else f"{value:.4g}"


def parse_quantity(text: str) -> int:
    """A whole count from `1500000`, `1.5e6`, `1.5M` or `1,500,000`; DeryError for anything else."""
    match = re.fullmatch(r"([0-9][0-9,_]*\.?[0-9]*(?:e\+?\d+)?|\.[0-9]+)\s*([kmgb]?)", text.strip().lower())
    if match is None:
        raise DeryError(f"'{text}' is not a count: write it like 1500000, 1.5e6 or 1.5M.")
    count = float(match[1].replace(",", "").replace("_", "")) * _PREFIXES[match[2]]
    if math.isinf(count):
        raise DeryError(f"'{text}' is more than any network has.")
    return round(count)


def duration(seconds: float) -> str:
    """Seconds in words: "45 s", "12 min", "1 h 37 min"; at least one second."""
    whole = max(1, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
