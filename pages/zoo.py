"""Zoo: choose the networks to take apart."""

import streamlit as st

from app import state, steps
from app.charts.plane import zoo_scatter
from app.colours import model_colours
from app.components import path
from app.components.add_networks import add_networks
from app.components.errors import one_sentence
from app.components.figures import show
from app.components.inside import look_inside
from app.components.waiting import follow_quietly
from app.components.zoo_table import zoo_table
from app.frames import model_frame
from dery_core.errors import DeryError
from dery_core.zoo import NOT_TOLD, Zoo


def show_samples(task: str) -> None:
    """A row of pictures; of a source task that is a mere label its name alone."""
    drawing = steps.samples(task)
    if follow_quietly(drawing, f"Getting pictures of {state.plain(task)}"):
        return
    try:
        samples = drawing.value()
    except DeryError:
        if task == steps.target_task():
            raise
        st.caption(f"{state.plain(task)} · no pictures of it here")
        return
    some = f", {len(samples.images)} of them here" if samples.more else ""
    st.markdown(f"**{samples.title}** · {len(samples.classes)} classes{some}{samples.remark}")
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for image, label in zip(samples.images, samples.labels, strict=True):
            st.image(image, caption=label, width=76)


def choose(zoo: Zoo) -> None:
    """Boxes to tick, and what there is to know before one does."""
    st.markdown(
        "These networks are trained already. Choose two or more; a hybrid takes its blocks from them. "
        "A click on a name looks inside."
    )
    chosen = steps.members(zoo)
    colours = model_colours(zoo.names)
    counting = steps.counting(zoo)
    suggested = steps.suggested(zoo)

    with st.container(horizontal=True, key="zoo_actions", vertical_alignment="center"):
        count = ("one", "two", "three", "four")[len(suggested) - 1]
        if st.button(f"Choose {count} for me", key="choose_four", icon=":material/auto_awesome:"):
            state.choose_members(suggested)
            st.rerun()
        if st.button("Clear", key="choose_none", icon=":material/close:", disabled=not chosen):
            state.choose_members(())
            st.rerun()
        st.markdown(f"**{len(chosen)}** of {len(zoo.models)} chosen", width="content")
    if counting is not None:
        follow_quietly(counting, "Counting params and MACs")
    models = model_frame(steps.with_costs(zoo), chosen)
    zoo_table(models, colours)

    if len(chosen) < 2:
        st.info("Choose at least two networks: a hybrid needs blocks from two.", icon=":material/info:")
    else:
        path.next_step("similarity", "Compare them")

    st.subheader("Accuracy and cost")
    known = models.dropna(subset=["params", "macs", "top1"])
    if known.empty:
        st.caption("The zoo file gives no accuracy ('top1') of a network: there is nothing to draw.")
    else:
        show(
            zoo_scatter(known, colours),
            key="zoo_scatter",
            alt="Accuracy of every zoo member over its multiply-accumulates.",
        )

    st.subheader("What they were trained on")
    told = models["source_task"][models["source_task"] != NOT_TOLD]
    for task in dict.fromkeys([*told, steps.target_task()]):
        with one_sentence():
            show_samples(task)


st.title("Networks")

VIEWS = {
    "choose": (":material/checklist: Choose", choose),
    "inside": (":material/account_tree: Look inside", look_inside),
    "add": (":material/add_circle: Add networks", lambda _: add_networks()),
}

with one_sentence():
    zoo = steps.zoo()
    view = st.segmented_control(
        "View",
        list(VIEWS),
        format_func=lambda view: VIEWS[view][0],
        required=True,
        key="view",
        label_visibility="collapsed",
        persist_state="session",
    )
    VIEWS[view or "choose"][1](zoo)
