"""torchinfo's summary of a hybrid, made when somebody asks for it."""

from dataclasses import replace

import streamlit as st

from app import work
from app.components.waiting import follow_quietly, tell_end
from dery_core.files import digest
from dery_core.reassembly import HybridSpec, hybrid_summary

_ASKED = "summary_of"


def summary_panel(spec: HybridSpec) -> None:
    """A button, and behind it every layer. What was asked for one hybrid isn't made for the next one."""
    key = digest(replace(spec, score=None))
    asked = st.session_state.get(_ASKED) == key
    st.button(
        "Hide the layers" if asked else "Every layer (torchinfo)",
        key="summary",
        icon=":material/account_tree:",
        on_click=_ask,
        args=(None if asked else key,),
    )
    if not asked:
        return
    task = work.start(("summary", key), lambda report: hybrid_summary(spec))
    if follow_quietly(task, "Building the hybrid and looking through its layers"):
        return
    if not task.succeeded:
        tell_end(task, ("summary", key), "Building the hybrid")
        return
    st.caption(
        "torchinfo counts layer by layer and leaves out attention's products of queries, keys and values: "
        "for transformers its mult-adds are too few. The MACs elsewhere on this page count them."
    )
    with st.container(height=520, key="summary_text"):
        st.code(task.value(), language=None)


def _ask(key: str | None) -> None:
    st.session_state[_ASKED] = key
