"""Runs: fine-tune the hybrid and the members it competes with, and see who wins."""

import pandas as pd
import streamlit as st

from app import compare, state, steps
from app.charts.results import result_bars
from app.colours import model_colours
from app.components import path
from app.components.errors import error_box, one_sentence
from app.components.figures import show
from app.components.proving import settled_blocks
from app.components.run_board import LIVE, open_run, run_list
from app.components.waiting import value_of
from app.frames import run_frame
from dery_core.training import DEFAULT_STARTS, Protocol, Start
from dery_core.units import quantity
from dery_core.zoo import Zoo

st.title("Fine-tune and compare")
st.markdown(
    "A new hybrid has never worked as a whole. Frozen tuning trains only the stitching layers and the "
    "head; full tuning trains everything. The fair comparison: zoo members within the same budget, tuned in "
    "the same way."
)

PROTOCOLS: dict[Protocol, str] = {"frozen": "Seams and head (frozen)", "full": "All (full)"}
STARTS: dict[Start, str] = {"closed-form": "Closed form", "random": "Random"}


def new_runs(zoo: Zoo, names: tuple[str, ...]) -> None:
    """The panel that starts runs of the hybrid chosen on the Reassemble page."""
    blocks = settled_blocks(names)
    if blocks is None:
        return
    step = steps.assembly(names, blocks, state.get("score"))
    assembly = value_of(*step, title="Building and scoring hybrids")
    if assembly is None:
        return
    state.settle(names, blocks.k)
    rules = state.rules()
    hybrid = assembly.spec(assembly.shown(rules, state.get("chosen")))
    within = steps.within(zoo, rules.budget)
    rivals = {"the chosen members": [n for n in within if n in names], "all members": within, "none": ()}
    st.markdown(
        f"**The hybrid you chose:** {' → '.join(block.model for block in hybrid.blocks)} · "
        f"{quantity(hybrid.params)} params · {quantity(hybrid.macs)} MACs"
    )
    left, right = st.columns(2, gap="large")
    protocol = left.segmented_control(
        "What is trained",
        list(PROTOCOLS),
        format_func=PROTOCOLS.__getitem__,
        default="frozen",
        required=True,
        key="protocol",
        persist_state="session",
    )
    epochs = right.slider("Epochs", 1, 30, steps.EPOCHS, key="epochs", persist_state="session")
    start = st.segmented_control(
        "Where seams and head start from",
        list(STARTS),
        format_func=STARTS.__getitem__,
        default=DEFAULT_STARTS[protocol],
        required=True,
        key=f"start_from_{protocol}",
        persist_state="session",
    )
    st.caption(
        "Before the first epoch each seam is fitted by least squares to give what the next block saw in its "
        "own network, and each head, members' too, by ridge regression on the labels."
        if start == "closed-form"
        else "New layers start from random weights, as in the paper."
    )
    against = st.segmented_control(
        "Zoo members within this budget to tune in the same way",
        list(rivals),
        format_func=lambda label: label if label == "none" else f"{label} ({len(rivals[label])})",
        default="the chosen members",
        required=True,
        key="rivals",
        persist_state="session",
    )
    if st.button("Start", type="primary", key="start_run", icon=":material/play_arrow:"):
        with st.spinner("Starting …"):
            st.session_state["run"] = steps.start_runs(zoo, hybrid, rivals[against], protocol, start, epochs)
        st.rerun()


def board(zoo: Zoo, alive: bool) -> None:
    """Everything below the panel; redrawn every second while a run is alive."""
    colours = model_colours(zoo.names)
    with one_sentence():
        found = steps.runs()
        runs = run_frame(found)
        if runs["state"].isin(LIVE).any() != alive:
            st.rerun()
        if runs.empty:
            st.info("No runs yet.", icon=":material/info:")
            return
        st.subheader("Runs")
        if state.get("run") not in set(runs["id"]):
            # What people come for is how a training goes.
            trainings = runs[runs["kind"] == "training"]
            st.session_state["run"] = (runs if trainings.empty else trainings)["id"].iloc[0]
        run_list(runs)
        state.publish()
        chosen = runs[runs["id"] == state.get("run")].iloc[0]
        run = next(run for run in found if run.id == chosen["id"])
        open_run(run, chosen, colours)
        if "run_error" in st.session_state:
            error_box(st.session_state.pop("run_error"))
        results(runs, chosen["id"], colours)


def results(runs: pd.DataFrame, run_id: str, colours: dict[str, str]) -> None:
    """The open run beside all that were tuned as it was."""
    alike = compare.comparable(runs, run_id)
    if alike.empty:
        return
    st.subheader("Beside the zoo")
    hybrids = alike[alike["hybrid"].astype(bool)]
    if len(hybrids):
        shown = run_id if run_id in set(hybrids["id"]) else hybrids["id"].iloc[0]
        st.markdown(compare.spoken_verdict(alike, shown, steps.test_count(alike["task"].iloc[0])))
    show(
        result_bars(alike.rename(columns={"subject": "label"}), colours),
        key="results",
        alt="Top-1 of the hybrid and of every zoo member tuned in the same way.",
    )


with one_sentence():
    zoo = steps.zoo()
    names = steps.members(zoo)
    with st.container(border=True, key="new_runs"), one_sentence():
        if len(names) < 2:
            st.info("To fine-tune a hybrid, choose networks and a budget first.", icon=":material/info:")
            st.page_link(path.PAGES / "zoo.py", label="Go to Zoo", icon=":material/arrow_forward:")
        else:
            new_runs(zoo, names)
    alive = bool(run_frame(steps.runs())["state"].isin(LIVE).any())
    st.fragment(board, run_every=1.0 if alive else None)(zoo, alive)
