"""The list of runs and the one that is open, alive while something runs."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from app import state
from app.charts.curves import training_curves
from app.components.figures import show
from app.components.waiting import spoken
from dery_core.errors import DeryError
from dery_core.jobs import Run, TrainingRun

SHOWN = 8
LIVE = ("queued", "running")
_COLOURS = {
    "queued": "#8a94a3", "running": "#2f7fc1", "finished": "#2f8a5b", "failed": "#c0392b",
    "cancelled": "#b07d1a", "interrupted": "#b07d1a", "damaged": "#c0392b",
}  # fmt: skip


def run_list(runs: pd.DataFrame) -> None:
    """One row a run, newest first; its name opens it. The open one is always in sight."""
    shown = runs if st.session_state.get("all_runs") else runs.head(SHOWN)
    opened = runs[(runs["id"] == state.get("run")) & ~runs["id"].isin(shown["id"])]
    with st.container(key="run_list", gap=None):
        for row in pd.concat([shown, opened]).to_dict("records"):
            left, right = st.columns([2, 5], wrap=False, vertical_alignment="center")
            left.button(
                str(row["subject"]),
                key=f"run_{row['id']}",
                type="tertiary",
                icon=_icon(row),
                on_click=_open,
                args=(row["id"],),
            )
            right.html(_row(row, row["id"] == state.get("run")))
    if len(runs) > SHOWN:
        st.toggle(f"Show all {len(runs)} runs", key="all_runs")


def open_run(run: Run, line: pd.Series, colours: Mapping[str, str]) -> None:
    """Progress, log and the buttons of one run; a training's curves."""
    status = line["state"]
    with st.container(horizontal=True, vertical_alignment="center", key="open_run"):
        st.subheader(_heading(line), width="content")
        st.markdown(_badge(status), width="content")
        _buttons(run, status)
    if line["message"]:
        st.info(line["message"], icon=":material/info:")
    progress = run.progress() if status == "running" else None
    if progress is not None and progress.total:
        st.progress(min(progress.done / progress.total, 1.0), text=spoken(progress))
    if isinstance(run, TrainingRun):
        _curves(run, line, colours)
    with st.expander("Log", icon=":material/description:"), st.container(key="run_log"):
        st.code("\n".join(run.log().splitlines()[-40:]) or "Nothing yet.", language=None)


def _curves(run: TrainingRun, line: pd.Series, colours: Mapping[str, str]) -> None:
    metrics = pd.DataFrame(run.metrics(), columns=["epoch", "top1", "loss", "learning_rate", "seconds"])
    if len(metrics):
        show(
            training_curves({line["subject"]: metrics}, colours, max(int(line["total"]), 1)),
            key="curves",
            alt=f"Training loss and test accuracy of {line['subject']} over the epochs.",
        )


def _icon(row: Mapping[Any, Any]) -> str:
    if row["kind"] == "scoring":
        return ":material/speed:"
    return ":material/star:" if row["hybrid"] else ":material/category:"


def _heading(line: pd.Series) -> str:
    if line["kind"] == "scoring" or line["state"] == "damaged":
        return str(line["subject"])
    start = " from a closed-form start" if line["start"] == "closed-form" else ""
    return f"{line['subject']}, {line['protocol']} tuning{start}"


def _buttons(run: Run, status: str) -> None:
    if status in LIVE:
        _act("Cancel", "cancel_run", ":material/stop:", run.cancel)
    if status in ("cancelled", "failed", "interrupted"):
        _act("Resume", "resume_run", ":material/play_arrow:", run.resume)
    if status == "queued":
        _act("Start now", "start_queued", ":material/play_arrow:", run.start)
    if status not in LIVE:
        _act("Delete", "delete_run", ":material/delete:", run.delete)


def _act(label: str, key: str, icon: str, action: Callable[[], None]) -> None:
    if not st.button(label, key=key, icon=icon):
        return
    try:
        action()
    except DeryError as error:
        st.session_state["run_error"] = str(error)
    st.rerun()


def _open(run_id: str) -> None:
    st.session_state["run"] = run_id


def _badge(status: str) -> str:
    colours = {"running": "blue", "finished": "green", "failed": "red", "damaged": "red"}
    return f":{colours.get(status, 'gray')}-badge[{status}]"


def _row(row: Mapping[Any, Any], is_open: bool) -> str:
    colour = _COLOURS[row["state"]]
    done = 100 * row["done"] / max(row["total"], 1)
    top1 = ""
    if not pd.isna(row["top1"]):
        before = f"before training {row['top1_before']:.1f} %"
        top1 = f'<span title="{before}">{row["top1_before"]:.1f} → <b>{row["top1"]:.1f} %</b></span>'
    how = "scoring" if row["kind"] == "scoring" else row["protocol"]
    start = "closed form" if row["start"] == "closed-form" else ""
    kind = "dery-run open" if is_open else "dery-run"
    return (
        f'<div class="{kind}" data-run="{escape(row["id"])}" data-state="{row["state"]}">'
        f"<span>{escape('' if pd.isna(how) else str(how))}<small>{start}</small></span>"
        f'<span class="state"><i style="background:{colour}"></i>{row["state"]}</span>'
        f'<span class="track"><i style="width:{done:.0f}%;background:{colour}"></i></span>'
        f"<span>{_amount(row)}</span>{top1}</div>"
    )


def _amount(row: Mapping[Any, Any]) -> str:
    if row["total"]:
        return f"{row['done']:,} of {row['total']:,} {row['unit']}"
    return ""
