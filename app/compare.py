"""Which runs may be compared, and what the comparison says."""

import math

import pandas as pd

ALIKE = ["task", "protocol", "recipe", "seed"]


def comparable(runs: pd.DataFrame, run_id: str) -> pd.DataFrame:
    """Finished runs tuned as `run_id` was: same task, protocol, recipe and seed.

    `runs` is `run_frame`'s, newest first. A member that was tuned twice counts once, its newest
    run; `run_id` itself is always in when it is finished.
    """
    reference = runs[runs["id"] == run_id].iloc[0]
    alike = runs[(runs["state"] == "finished") & (runs[ALIKE] == reference[ALIKE]).all(axis=1)]
    members = alike[~alike["hybrid"].astype(bool)].drop_duplicates("subject")
    return pd.concat([alike[alike["hybrid"].astype(bool)], members])


def verdict(runs: pd.DataFrame, hybrid_id: str, tested: int) -> str:
    """One honest sentence: did the hybrid beat the members tuned in the same way?

    `runs` is what `comparable` gives; `tested` is the number of test images, which says how much
    of a difference is chance (95 %, two independent proportions).
    """
    hybrid = runs[runs["id"] == hybrid_id].iloc[0]
    members = runs[~runs["hybrid"].astype(bool)]
    if members.empty:
        return (
            f"The hybrid reaches {hybrid['top1']:.1f} %. Nothing to compare it with yet: tune the zoo "
            "members within its budget in the same way."
        )
    best = members.sort_values("top1").iloc[-1]
    difference = hybrid["top1"] - best["top1"]
    what = f"{hybrid['top1']:.1f} % against {best['top1']:.1f} % of {best['subject']}"
    among = "the only member" if len(members) == 1 else f"the best of {len(members)} members"
    chance = chance_of_difference(hybrid["top1"], best["top1"], tested)
    if abs(difference) <= chance:
        return (
            f"**A draw:** {what}, {among} tuned in the same way. On {tested} test images a difference of "
            f"up to {chance:.1f} points is chance."
        )
    outcome = "**The hybrid wins:**" if difference > 0 else "**The hybrid loses:**"
    params, macs = (f"{hybrid[key] / best[key]:.2g}" for key in ("params", "macs"))
    return (
        f"{outcome} {what}, {among} tuned in the same way, with {params} times its parameters and "
        f"{macs} times its MACs. One seed only."
    )


def chance_of_difference(first: float, second: float, tested: int) -> float:
    """Points of top-1 (percent) by which two networks differ by chance in 95 of 100 cases."""
    variance = sum(p / 100 * (1 - p / 100) for p in (first, second)) / tested
    return 100 * 1.96 * math.sqrt(variance)
