"""Which runs may be compared, and what the comparison says."""

import pandas as pd

from dery_core.training import Contender, verdict

ALIKE = ["task", "protocol", "recipe", "seed", "start"]


def comparable(runs: pd.DataFrame, run_id: str) -> pd.DataFrame:
    """Finished runs tuned as `run_id` was: same task, protocol, recipe, seed and start.

    `runs` is `run_frame`'s, newest first. A member that was tuned twice counts once, its newest
    run; `run_id` itself is always in when it is finished.
    """
    reference = runs[runs["id"] == run_id].iloc[0]
    alike = runs[(runs["state"] == "finished") & (runs[ALIKE] == reference[ALIKE]).all(axis=1)]
    members = alike[~alike["hybrid"].astype(bool)].drop_duplicates("subject")
    return pd.concat([alike[alike["hybrid"].astype(bool)], members])


def spoken_verdict(runs: pd.DataFrame, hybrid_id: str, tested: int) -> str:
    """`dery_core.training.verdict` of a hybrid among `runs`, which `comparable` gives, as Markdown."""
    contenders = {
        row["id"]: Contender(row["subject"], row["top1"], row["params"], row["macs"])
        for row in runs.to_dict("records")
        if row["id"] == hybrid_id or not row["hybrid"]
    }
    hybrid = contenders.pop(hybrid_id)
    outcome, figures = verdict(hybrid, list(contenders.values()), tested).split(":", 1)
    return f"**{outcome}:**{figures}"
