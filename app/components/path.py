"""The path every page shows: what is done, where you are, what is next."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

PAGES = Path(__file__).resolve().parents[2] / "pages"


@dataclass(frozen=True)
class Step:
    """One page of the path."""

    name: str

    @property
    def title(self) -> str:
        return self.name.capitalize()

    @property
    def file(self) -> Path:
        return PAGES / f"{self.name}.py"


STEPS = (
    Step("zoo"),
    Step("similarity"),
    Step("partition"),
    Step("reassemble"),
    Step("runs"),
)
HOME = Step("home")


def header(current: str, done: set[str], notes: Sequence[str] = ()) -> None:
    """The row of links; a tick for every step in `done`, the current page in bold. Below it `notes`."""
    with st.container(horizontal=True, key="path", gap="xxsmall", vertical_alignment="center"):
        st.page_link(HOME.file, label="**DeRy Studio**", icon=":material/extension:")
        for number, step in enumerate(STEPS):
            icon = ":material/check_circle:" if step.name in done else f":material/counter_{number + 1}:"
            label = f"**{step.title}**" if step.name == current else step.title
            st.page_link(step.file, label=label, icon=icon)
    if notes:
        st.info(" ".join(notes), icon=":material/info:")


def next_step(step: str, label: str) -> None:
    """The one link that leads on, at a page's end."""
    with st.container(key=f"next_{step}", horizontal=True, horizontal_alignment="right"):
        page = PAGES / f"{step}.py"
        st.page_link(page, label=label, icon=":material/arrow_forward:", icon_position="right")


def go_on(done: set[str]) -> None:
    """A link to the first step that isn't done yet, to the last when all are."""
    step = next((step for step in STEPS if step.name not in done), STEPS[-1])
    next_step(step.name, f"Go on to {step.title}")


def first_do(step: str, sentence: str) -> None:
    """Say what is missing, with a link to where it is done, and end the page here."""
    st.info(sentence, icon=":material/info:")
    st.page_link(PAGES / f"{step}.py", label=f"Go to {step.capitalize()}", icon=":material/arrow_forward:")
    st.stop()
