"""Whether a tuned hybrid beat the zoo members that were tuned in the same way, in one sentence."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Contender(NamedTuple):
    """A tuned network; `top1` in percent, `macs` for one image."""

    name: str
    top1: float
    params: int
    macs: int


def verdict(hybrid: Contender, members: Sequence[Contender], tested: int) -> str:
    """The outcome against the best member, as `outcome: figures`.

    `tested` is the number of test images, which says how much of a difference is chance.
    """
    if not members:
        return (
            f"No comparison: the hybrid reaches {hybrid.top1:.1f} %, and no zoo member within its budget "
            "was tuned in the same way."
        )
    best = max(members, key=lambda member: member.top1)
    among = "the only member" if len(members) == 1 else f"the best of {len(members)} members"
    against = f"{hybrid.top1:.1f} % against {best.top1:.1f} % of {best.name}, {among} tuned in the same way"
    chance = chance_of_difference(hybrid.top1, best.top1, tested)
    if abs(hybrid.top1 - best.top1) <= chance:
        return (
            f"A draw: {against}. On {tested} test images a difference of up to {chance:.1f} points is chance."
        )
    outcome = "wins" if hybrid.top1 > best.top1 else "loses"
    return (
        f"The hybrid {outcome}: {against}, with {hybrid.params / best.params:.2g} times its parameters and "
        f"{hybrid.macs / best.macs:.2g} times its MACs. One seed only."
    )


def chance_of_difference(first: float, second: float, tested: int) -> float:
    """Points of top-1 (percent) by which two networks differ by chance in 95 of 100 cases: two
    independent proportions, each of `tested` images."""
    variance = sum(p / 100 * (1 - p / 100) for p in (first, second)) / tested
    return 100 * 1.96 * math.sqrt(variance)
