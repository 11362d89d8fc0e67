"""Reassemble: the best hybrid within a budget, as the sliders move."""

from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state, steps
from app.assembly import Assembly, budget_limits
from app.charts.hybrid import hybrid_row
from app.charts.plane import score_plane
from app.colours import model_colours
from app.components import path
from app.components.errors import error_box, one_sentence
from app.components.figures import show
from app.components.proving import settled_blocks
from app.components.seam_table import seam_table
from app.components.waiting import result_of
from dery_core.errors import DeryError
from dery_core.reassembly import Budget
from dery_core.units import quantity
from dery_core.zoo import Zoo

PLACES = {
    "staged": "Place 1 takes the first block of some network, place 2 the second block of one, and so on.",
    "free": "Place 1 takes the first block of some network, place 2 the second block of one, and so on; no "
    "two places may take blocks of one set.",
}

st.title("Reassemble under a budget")
st.markdown(
    "Drag the limits. An integer program picks one block for every place so that the score is as high as the "
    f"budget allows; the stitching layers between blocks count too. {PLACES[steps.cutting().variant]}"
)


@st.fragment
def explore(zoo: Zoo, assembly: Assembly) -> None:
    """The part that follows the sliders."""
    left, right = st.columns(2, gap="large")
    ends = assembly.extremes
    budget = Budget(
        max_params=limit(left, "params", "Parameters, at most", ends.min_params, ends.max_params),
        max_macs=limit(right, "macs", "MACs, at most", ends.min_macs, ends.max_macs),
    )
    state.publish()
    try:
        hybrid = assembly.best(budget)
    except DeryError as error:
        error_box(error)
        return

    rows = assembly.rows(assembly.spec(hybrid))
    sets = assembly.sets(hybrid) if steps.cutting().variant == "free" else ()
    st.html(hybrid_row(rows, model_colours(zoo.names), assembly.candidates.num_classes, sets))
    figures = st.columns(4)
    figures[0].metric("Parameters", quantity(hybrid.params), border=True)
    figures[1].metric("MACs", quantity(hybrid.macs), border=True)
    figures[2].metric("Score, predicted", f"{hybrid.predicted:.1f}", border=True)
    measured = "not yet" if hybrid.measured is None else f"{hybrid.measured:.1f}"
    figures[3].metric("Score, measured", measured, border=True)
    st.caption(spoken_fit(assembly))
    seam_table(rows)
    if st.button("Fine-tune this hybrid", type="primary", key="fine_tune", icon=":material/model_training:"):
        st.switch_page(path.PAGES / "runs.py")
    show(
        score_plane(
            assembly.cloud,
            assembly.front,
            {"macs": hybrid.macs, "score": hybrid.predicted},
            steps.accuracies(zoo),
            model_colours(zoo.names),
            budget.max_macs,
            named=steps.members(zoo),
        ),
        key="score_plane",
        alt="Score of hybrids and accuracy of tuned networks over multiply-accumulates.",
    )


def spoken_fit(assembly: Assembly) -> str:
    """What the score is and how far its prediction can be trusted."""
    fit = assembly.scores.linear
    text = (
        "The score is NASWOT: how differently the untrained hybrid's units respond to different images. "
        f"It was measured on {fit.samples} of the hybrids; a linear model predicts it for any"
    )
    if fit.r2 is None or fit.kendall is None:
        return f"{text}. A score is no accuracy."
    return (
        f"{text} (on hybrids held out: R² {fit.r2:.2f}, Kendall's τ {fit.kendall:.2f}). A score is no "
        "accuracy: judge it beside parameters, MACs and what was measured below."
    )


def limit(
    place: DeltaGenerator, name: Literal["params", "macs"], label: str, low: int, high: int
) -> int | None:
    """A slider from the smallest to the largest hybrid; at its end there is no limit."""
    limits = budget_limits(low, high)
    chosen, key = state.get(name), state.LIMIT_KEYS[name]
    # A limit from the URL may lie anywhere.
    shown = limits[-1] if chosen is None else next((limit for limit in limits if limit >= chosen), limits[-1])
    st.session_state.setdefault(key, shown)
    place.select_slider(
        label, limits, key=key, format_func=quantity, on_change=state.take_limit, args=(name, limits[-1])
    )
    return state.get(name)


with one_sentence():
    zoo = steps.zoo()
    names = steps.members(zoo)
    if len(names) < 2:
        path.first_do("zoo", "Choose at least two networks first.")
    blocks = settled_blocks(names) or st.stop()
    assembly = result_of(
        *steps.assembly(names, blocks),
        title="Building and scoring hybrids: this is done once for these blocks",
    )
    explore(zoo, assembly)
