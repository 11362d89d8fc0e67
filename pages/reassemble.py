"""Reassemble: the best hybrid within a budget, as the sliders move."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state, steps, work
from app.assembly import Assembly, budget_limits, reaching, read_choice, rounded_up
from app.charts.hybrid import hybrid_row
from app.charts.plane import Limits, Marked, score_plane
from app.colours import model_colours
from app.components import path
from app.components.compare_hybrids import compare_panel
from app.components.errors import error_box, one_sentence
from app.components.figures import clicked, show
from app.components.proving import settled_blocks
from app.components.rules import rules_panel
from app.components.score_text import written
from app.components.seam_table import seam_table
from app.components.summary import summary_panel
from app.components.trust import trust_badge, trust_table_view
from app.components.waiting import value_of
from app.components.why import why_panel
from dery_core.errors import DeryError
from dery_core.partition import Partition
from dery_core.reassembly import Budget, Choice
from dery_core.scoring import SCORES
from dery_core.search import Rules
from dery_core.units import quantity
from dery_core.zoo import Zoo

SIZES = {"macs": "MACs", "params": "Parameters"}
CARD: Any = {"border": True, "height": "stretch"}
# A second line of a figure that isn't a change.
REMARK: Any = {"delta_color": "off", "delta_arrow": "off"}


def choose_score() -> str:
    """What hybrids are ranked by, and how far it can be trusted."""
    score = SCORES[state.get("score")]
    st.selectbox(
        "Ranked by",
        list(SCORES),
        format_func=lambda name: SCORES[name].title,
        key="score",
        persist_state="session",
        help=f"{score.sentence} ({score.source}.)",
    )
    trust_badge(score.name)
    return score.name


def scored(names: tuple[str, ...], parts: Partition) -> Assembly:
    """All hybrids with the score chosen; while it is measured, those of the score shown before."""
    score = state.get("score")
    assembly = value_of(
        *steps.assembly(names, parts, score),
        title=f"Building hybrids and measuring {SCORES[score].title}: this is done once for these blocks",
    )
    if assembly is not None:
        st.session_state["shown_score"] = score
        return assembly
    before = str(st.session_state.get("shown_score"))
    kept = work.find(steps.assembly_key(names, parts, before))
    if kept is None or not kept.succeeded:
        # Who doesn't want to wait for this score may choose another.
        choose_score()
        st.stop()
    st.caption(f"Until then the hybrids are ranked by {SCORES[before].title}, as before.")
    return kept.value()


@st.fragment
def explore(zoo: Zoo, assembly: Assembly, score: str) -> None:
    """The part that follows the sliders."""
    with st.container(key="controls"):
        left, right = st.columns([5, 7], gap="large")
    ends = assembly.extremes
    with right:
        limit("params", "Parameters, at most", ends.min_params, ends.max_params)
        limit("macs", "MACs, at most", ends.min_macs, ends.max_macs)
        rules_panel(assembly)
    with left:
        if choose_score() != score:
            st.rerun()
    state.publish()
    rules = state.rules()
    try:
        hybrid = assembly.shown(rules, state.get("chosen"))
    except DeryError as error:
        nothing_fits(error, assembly, rules)
        plane(zoo, assembly, rules, None)
        return
    head(assembly, rules, hybrid)
    picture(zoo, assembly, hybrid)
    figures(assembly, rules, hybrid)
    honest(assembly, rules, hybrid)
    actions(assembly, rules, hybrid)
    plane(zoo, assembly, rules, hybrid)
    more(assembly, rules, hybrid)


def limit(name: Literal["params", "macs"], label: str, low: int, high: int) -> None:
    """A slider from the smallest to the largest hybrid; at its end there is no limit."""
    limits = budget_limits(low, high)
    chosen, key = state.get(name), state.LIMIT_KEYS[name]
    if chosen is not None and low <= chosen <= limits[-1]:
        # One from the address, or from a button, is kept to the unit.
        limits = sorted({*limits, chosen})
    # Others may lie anywhere.
    shown = limits[-1] if chosen is None else next((limit for limit in limits if limit >= chosen), limits[-1])
    st.session_state.setdefault(key, shown)
    st.select_slider(
        label, limits, key=key, format_func=quantity, on_change=state.take_limit, args=(name, limits[-1])
    )


def nothing_fits(error: DeryError, assembly: Assembly, rules: Rules) -> None:
    """Why there is no hybrid, and what to change with one click."""
    error_box(error)
    nearest = assembly.nearest(rules)
    if nearest is None:
        st.button("Drop all rules", key="drop_rules_now", type="primary", on_click=state.drop_rules)
        return
    budget = rounded_up(nearest.budget)
    st.button(
        f"Go to the nearest budget: {budget_text(budget)}",
        key="use_nearest",
        type="primary",
        icon=":material/near_me:",
        on_click=state.use_budget,
        args=(budget,),
    )


def budget_text(budget: Budget) -> str:
    """Its limits in words."""
    limits = ((budget.max_params, "params"), (budget.max_macs, "MACs"))
    return " and ".join(f"{quantity(limit)} {name}" for limit, name in limits if limit is not None)


def head(assembly: Assembly, rules: Rules, hybrid: Choice) -> None:
    """Which hybrid is shown, and by which cost it is drawn."""
    chosen = state.get("chosen") is not None
    with st.container(horizontal=True, vertical_alignment="center", key="shown_head"):
        st.markdown("#### The hybrid you chose" if chosen else "#### The best that fits", width="content")
        if chosen:
            st.button(
                "Show the best", key="back", icon=":material/undo:", on_click=state.choose, args=(None,)
            )
        st.space("stretch")
        st.segmented_control(
            "Costs drawn",
            list(SIZES),
            format_func=SIZES.__getitem__,
            required=True,
            key="axis",
            persist_state="session",
            label_visibility="collapsed",
        )
    if chosen and not assembly.keeps(hybrid, rules):
        beyond(hybrid, rules)


def actions(assembly: Assembly, rules: Rules, hybrid: Choice) -> None:
    """What can be done with it."""
    with st.container(horizontal=True, vertical_alignment="center", key="actions"):
        if st.button("Fine-tune it", type="primary", key="fine_tune", icon=":material/model_training:"):
            st.switch_page(path.PAGES / "runs.py")
        st.button(
            "Pin to compare",
            key="pin",
            icon=":material/keep:",
            on_click=pin,
            args=(hybrid.choice,),
            help="Keep this one beside what the sliders show next.",
        )
        st.button(
            "Surprise me",
            key="surprise",
            icon=":material/casino:",
            on_click=partial(surprise, assembly, rules),
            help="Any hybrid that keeps to the budget and the rules, each as likely as the others.",
        )


def beyond(hybrid: Choice, rules: Rules) -> None:
    """That the hybrid chosen doesn't keep to what is set, and how it would."""
    with st.container(horizontal=True, vertical_alignment="center", key="beyond"):
        if rules.budget.allows(hybrid.params, hybrid.macs):
            st.warning("It doesn't keep the rules below the sliders.", icon=":material/rule:")
            return
        st.warning("It costs more or less than the limits allow.", icon=":material/open_in_full:")
        st.button(
            "Move the limits to it",
            key="use_chosen",
            icon=":material/near_me:",
            on_click=reach,
            args=(reaching(rules.budget, hybrid), hybrid),
        )


def reach(budget: Budget, hybrid: Choice) -> None:
    """Set limits that a hybrid keeps, and go on showing it."""
    state.use_budget(budget)
    state.choose(hybrid.choice)


def surprise(assembly: Assembly, rules: Rules) -> None:
    """Choose any hybrid that fits."""
    state.choose(assembly.finder.surprise(rules, secrets.randbits(32)).choice)


def pin(choice: tuple[int, ...]) -> None:
    """Keep a hybrid, and show the comparison with it."""
    state.pin(choice)
    st.session_state["about"] = "pair"


def picture(zoo: Zoo, assembly: Assembly, hybrid: Choice) -> None:
    """The hybrid from image to head."""
    rows = assembly.rows(assembly.spec(hybrid))
    sets = assembly.sets(hybrid) if steps.cutting().variant == "free" else ()
    colours, classes = model_colours(zoo.names), assembly.candidates.num_classes
    told = " ".join(f'data-{name}="{value}"' for name, value in mark(hybrid).items())
    with st.container(key="hybrid"):
        st.html(
            f'<div class="dery-shown" hidden {told}></div>'
            + hybrid_row(rows, colours, classes, sets, state.get("axis"))
        )


def figures(assembly: Assembly, rules: Rules, hybrid: Choice) -> None:
    """What it costs, what it promises, and out of how many it was found."""
    places = st.columns(4)
    places[0].metric("Parameters", quantity(hybrid.params), **CARD)
    places[1].metric("MACs", quantity(hybrid.macs), **CARD)
    score_figure(places[2], assembly, hybrid)
    fits, of = counted(assembly, rules), counted(assembly, rules.unlimited)
    places[3].metric("Hybrids that fit", fits, f"of {of}", **REMARK, **CARD)


def counted(assembly: Assembly, rules: Rules) -> str:
    """How many hybrids keep `rules`, as far as they can be counted."""
    count = assembly.finder.count(rules)
    return "too many to count" if count is None else f"{count:,}"


def honest(assembly: Assembly, rules: Rules, hybrid: Choice) -> None:
    """That a network as it is promises more, where one does."""
    rival = assembly.rival(hybrid, rules.budget)
    if rival is not None:
        name, score = rival
        st.caption(
            f":material/balance: Uncut, **{name}** scores higher within the same budget: {written(score)}."
        )


def score_figure(place: DeltaGenerator, assembly: Assembly, hybrid: Choice) -> None:
    """The score, said to be predicted where it is, with what was measured beside it."""
    value = written(hybrid.predicted)
    if assembly.known:
        place.metric(assembly.title, value, **CARD)
        return
    measured = "not measured" if hybrid.measured is None else f"measured: {written(hybrid.measured)}"
    place.metric(assembly.title, value, measured, help=spoken_fit(assembly), **REMARK, **CARD)


def spoken_fit(assembly: Assembly) -> str:
    """How good the prediction of a score is."""
    fit = assembly.scores.linear
    text = (
        f"Measured on {assembly.scores.samples:,} hybrids; a linear model of their blocks predicts all others"
    )
    if fit.r2 is None or fit.kendall is None:
        return f"{text}."
    return f"{text} (on hybrids held out: R² {fit.r2:.2f}, Kendall's τ {fit.kendall:.2f})."


def mark(hybrid: Choice) -> dict[str, str]:
    """What is shown and for which limits: a browser's test compares it with the sliders."""
    limits = {name: quantity(st.session_state[state.LIMIT_KEYS[name]]) for name in ("params", "macs")}
    costs = {"params": str(hybrid.params), "macs": str(hybrid.macs)}
    return {**costs, "max-params": limits["params"], "max-macs": limits["macs"]}


def plane(zoo: Zoo, assembly: Assembly, rules: Rules, hybrid: Choice | None) -> None:
    """All hybrids by cost and score, and below what was measured."""
    budget, pinned = rules.budget, state.get("pinned")
    marked = []
    if pinned is not None:
        other = assembly.priced(pinned)
        marked.append(Marked("Pinned", other.params, other.macs, other.predicted, "star-open"))
    if hybrid is not None:
        marked.append(Marked("Shown", hybrid.params, hybrid.macs, hybrid.predicted))
    show(
        score_plane(
            assembly.cloud,
            assembly.front(rules),
            assembly.members,
            marked,
            steps.accuracies(zoo),
            model_colours(zoo.names),
            Limits((budget.min_params, budget.max_params), (budget.min_macs, budget.max_macs)),
            state.get("axis"),
            assembly.title,
            named=steps.members(zoo),
        ).update_layout(meta=" ".join(mark(hybrid).values()) if hybrid else None),
        key="score_plane",
        alt="Score of hybrids and accuracy of tuned networks over their cost.",
        on_click=take_point,
    )


def take_point() -> None:
    """The hybrid that was clicked; a second click goes back to the best."""
    point = clicked("score_plane")
    word = point["customdata"][0] if point and point.get("customdata") else None
    if word is not None:
        state.choose(read_choice(word))


def more(assembly: Assembly, rules: Rules, hybrid: Choice) -> None:
    """What not everybody asks for, one view at a time."""
    view = st.segmented_control(
        "More about it",
        list(VIEWS),
        format_func=lambda view: VIEWS[view][0],
        required=True,
        key="about",
        persist_state="session",
        label_visibility="collapsed",
    )
    with st.container(key="more"), one_sentence():
        VIEWS[view or state.HYBRID_VIEWS[0]][1](assembly, rules, hybrid)


def pair(assembly: Assembly, rules: Rules, hybrid: Choice) -> None:
    """The hybrid beside the pinned one."""
    pinned = state.get("pinned")
    if pinned is None:
        st.info("Pin a hybrid, then drag on: both stand here side by side.", icon=":material/keep:")
        return
    st.button("Unpin", key="unpin", icon=":material/keep_off:", on_click=state.pin, args=(None,))
    compare_panel(assembly, assembly.priced(pinned), hybrid, ("Pinned", "Shown"))


def inside(assembly: Assembly, rules: Rules, hybrid: Choice) -> None:
    """What its seams bridge, and its layers."""
    spec = assembly.spec(hybrid)
    seam_table(assembly.rows(spec))
    summary_panel(spec)


VIEWS: dict[str, tuple[str, Callable[[Assembly, Rules, Choice], None]]] = {
    "why": ("Why this one", why_panel),
    "pair": ("Compare two", pair),
    "inside": ("Seams and layers", inside),
}

st.title("Reassemble under a budget")
st.markdown(
    "Drag the limits: one block for every place is picked so that the score is as high as the budget allows. "
    "Seams between blocks count too."
)

with one_sentence():
    zoo = steps.zoo()
    names = steps.members(zoo)
    if len(names) < 2:
        path.first_do("zoo", "Choose at least two networks first.")
    blocks = settled_blocks(names) or st.stop()
    state.settle(names, blocks.k)
    assembly = scored(names, blocks)
    explore(zoo, assembly, state.get("score"))
    trust_table_view(assembly.score.name)
