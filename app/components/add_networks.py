"""Add networks to the zoo: of timm's catalogue, or a checkpoint of one's own; and remove them again."""

import streamlit as st

from app import own_zoo, state, steps
from app.components import waiting
from app.components.catalogue import choose_pretrained
from app.components.checkpoint import describe_checkpoint
from app.components.errors import error_box, one_sentence
from dery_core.errors import Cancelled, DeryError
from dery_core.units import quantity

SOURCES = {"catalogue": "timm's catalogue", "checkpoint": "A checkpoint of my own"}


def add_networks() -> None:
    """The Zoo page's view that adds and removes."""
    st.markdown(
        "A network is built, cut and checked before it is added: what can't be used stays out. What is "
        f"added stands in `{own_zoo.target()}`."
    )
    with st.container(key="adding_box"):
        busy = _being_added()
    # Adding may have ended while this page was drawn.
    zoo = steps.zoo()
    source = st.segmented_control(
        "From",
        state.SOURCES,
        format_func=SOURCES.__getitem__,
        required=True,
        key="add_from",
        persist_state="session",
    )
    with one_sentence():
        if source == "checkpoint":
            describe_checkpoint(busy)
        else:
            choose_pretrained(zoo, busy)
    with one_sentence():
        _own_networks()


def _being_added() -> bool:
    """What became of the network that the address says is being added; whether it still is."""
    name = state.get("adding")
    task = own_zoo.adding(name) if name else None
    if task is None:
        # The address outlives the server that was at it.
        state.leave_out("adding", None)
        return False
    if not task.wait(waiting.PATIENCE_SECONDS):
        waiting.progress_box(task, f"Adding {name}", stop="Cancel")
        return True
    try:
        model = task.value()
    except Cancelled:
        st.info(f"Stopped: {state.plain(name)} was not added.", icon=":material/pause_circle:")
    except DeryError as error:
        error_box(error)
    else:
        if model.name in steps.zoo().names:
            _added(model.name, model.params, model.macs)
    return False


def _added(name: str, params: int | None, macs: int | None) -> None:
    costs = "" if params is None or macs is None else f": {quantity(params)} params, {quantity(macs)} MACs"
    st.success(f"**{state.plain(name)}** is in the zoo{costs}.", icon=":material/check_circle:")
    with st.container(horizontal=True):
        st.button("Look inside", key="look_added", on_click=state.look_inside, args=(name,))
        if name not in state.get("members"):
            chosen = (*state.get("members"), name)
            st.button("Choose it", key="choose_added", on_click=state.choose_members, args=(chosen,))


def _own_networks() -> None:
    names = own_zoo.own_names()
    if not names:
        return
    st.subheader(f"Listed in {own_zoo.target().name}")
    with st.container(key="own_networks", gap="xsmall"):
        for name in names:
            left, right = st.columns([5, 1], wrap=False, vertical_alignment="center")
            left.button(name, key=f"listed_{name}", type="tertiary", on_click=state.look_inside, args=(name,))
            with right.popover("Remove", icon=":material/delete:", key=f"remove_{name}", width="stretch"):
                st.markdown("Its weight file stays where it is.")
                st.button(f"Remove {name}", key=f"sure_{name}", on_click=_remove, args=(name,))
    if "own_error" in st.session_state:
        error_box(st.session_state.pop("own_error"))


def _remove(name: str) -> None:
    try:
        own_zoo.remove(name)
    except DeryError as error:
        st.session_state["own_error"] = str(error)
        return
    if name in state.get("members"):
        state.choose_members(tuple(member for member in state.get("members") if member != name))
    for setting in ("look", "adding"):
        if state.get(setting) == name:
            state.leave_out(setting, None)
