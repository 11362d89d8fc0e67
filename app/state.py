"""What a visitor has chosen: kept in the session, mirrored in the URL.

Every setting lives in `st.session_state` under its own name, which is also the key of its widget
and its name in the URL. Streamlit's `bind="query-params"` is not used: it drops a setting from the
URL on pages that don't show its widget, and a shared link must hold the whole exploration.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dery_core.data import task_names
from dery_core.partition import K_RANGE, Variant
from dery_core.similarity import MEASURES
from dery_core.zoo import SizeMeasure

SIZES: tuple[SizeMeasure, ...] = ("params", "macs", "nodes")
VARIANTS: tuple[Variant, ...] = ("staged", "free")
VIEWS = ("choose", "inside", "add")
SOURCES = ("catalogue", "checkpoint")
COMPARE_VIEWS = ("pair", "all", "map")
BLOCK_VIEWS = ("bars", "alike", "proof")
EPSILON_RANGE = (0.0, 1.0)
MEMBER_KEY = "member_"
LIMIT_KEYS = {"params": "max_params", "macs": "max_macs"}
PROBE_KEY = "probe_task"
ROW_KEY, COLUMN_KEY = "row_model", "column_model"
LOOK_KEY = "look_at"
OWN_KEYS = (*LIMIT_KEYS.values(), PROBE_KEY, LOOK_KEY, ROW_KEY, COLUMN_KEY)
_RESTORED = "_restored"
_NOTES = "_notes"
_NOTED_AT = "_noted_at"


@dataclass(frozen=True)
class Setting:
    """One choice: how it is read from the URL (ValueError when it can't be) and its default.

    `label` and `allowed` are for telling that a value from the URL is impossible.
    """

    name: str
    default: Any
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    label: str = ""
    allowed: str = ""

    def refusal(self, text: str) -> str:
        """What a visitor is told whose address holds `text`."""
        instead = "left out" if self.default is None else f"showing {self.write(self.default)}"
        return f"{self.label} = {plain(text)} isn't possible ({self.allowed}); {instead}."


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _between(low: float, high: float, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return read


def _one_of(*options: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in options:
            raise ValueError(text)
        return text

    return read


def _yes(text: str) -> bool:
    return _one_of("yes", "no")(text) == "yes"


def _cell(text: str) -> tuple[int, int]:
    row, column = map(_between(0, 10**6, int), text.split(","))
    return row, column


SETTINGS = (
    Setting("members", (), _names, ",".join),
    Setting("probe", None, _one_of(*task_names()), label="Images", allowed=", ".join(task_names())),
    Setting("k", 4, _between(*K_RANGE, int), label="K", allowed="{} to {}".format(*K_RANGE)),
    Setting(
        "epsilon",
        0.2,
        _between(*EPSILON_RANGE, float),
        "{:g}".format,
        label="ε",
        allowed="{:g} to {:g}".format(*EPSILON_RANGE),
    ),
    Setting("size", "params", _one_of(*SIZES), label="Size", allowed=", ".join(SIZES)),
    Setting("variant", VARIANTS[0], _one_of(*VARIANTS), label="Variant", allowed=", ".join(VARIANTS)),
    Setting("measure", "cka", _one_of(*MEASURES), label="Measure", allowed=", ".join(MEASURES)),
    Setting("unbiased", False, _yes, {True: "yes", False: "no"}.__getitem__, "Unbiased", "yes, no"),
    Setting("blocks", BLOCK_VIEWS[0], _one_of(*BLOCK_VIEWS), label="Blocks", allowed=", ".join(BLOCK_VIEWS)),
    Setting(
        "compare",
        COMPARE_VIEWS[0],
        _one_of(*COMPARE_VIEWS),
        label="Similarity view",
        allowed=", ".join(COMPARE_VIEWS),
    ),
    Setting("rows", None, str),
    Setting("columns", None, str),
    Setting("cell", None, _cell, "{0[0]},{0[1]}".format, "Cell", "two cuts, such as 3,7"),
    Setting("params", None, _between(0, 10**15, int), label="Parameters", allowed="a whole number"),
    Setting("macs", None, _between(0, 10**15, int), label="MACs", allowed="a whole number"),
    Setting("run", None, str),
    Setting("view", VIEWS[0], _one_of(*VIEWS), label="View", allowed=", ".join(VIEWS)),
    Setting("look", None, str),
    Setting("adding", None, str),
    Setting("add_from", SOURCES[0], _one_of(*SOURCES), label="From", allowed=", ".join(SOURCES)),
)


def sync() -> bool:
    """Bring session and URL in line: at a session's start and on back or forward the URL wins.

    Returns whether it did. At any other time the session does: when a visitor is quick, the URL that
    comes with a rerun is older than the widgets' values.
    """
    shown = st.query_params.to_dict()
    context = get_script_run_ctx()
    restore = _RESTORED not in st.session_state or bool(shown and context and context.is_history_navigation)
    if restore:
        _restore(shown)
    publish()
    return restore


def publish() -> None:
    """Write what differs from the defaults to the URL. Fragments call it after their sliders."""
    wanted = {
        setting.name: setting.write(value)
        for setting in SETTINGS
        if (value := st.session_state.get(setting.name, setting.default)) not in (None, setting.default)
    }
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def get(name: str) -> Any:
    """Value of one setting."""
    return st.session_state[name]


def note(text: str) -> None:
    """Keep a sentence about an address that couldn't be taken as it is."""
    st.session_state[_NOTES] = (*st.session_state[_NOTES], text)


def notes(page: str) -> tuple[str, ...]:
    """The sentences kept: until the visitor goes to another page or chooses something.

    Not for one run alone: a page that waits for work runs again by itself.
    """
    here = (page, st.query_params.to_dict())
    if st.session_state.setdefault(_NOTED_AT, here) != here:
        st.session_state[_NOTES] = ()
    return tuple(st.session_state[_NOTES])


def plain(text: str) -> str:
    """Words of an address, shortened, that Markdown shows as they are."""
    return re.sub(r"([^\w\s.-])", r"\\\1", text[:40])


def leave_out(name: str, value: Any) -> None:
    """Replace what the address says of one setting."""
    st.session_state[name] = value
    publish()


def choose_members(names: tuple[str, ...]) -> None:
    """Set the chosen zoo members; budgets belong to the old choice and are dropped."""
    st.session_state["members"] = names
    st.session_state["params"] = st.session_state["macs"] = None
    _forget_widgets()


def look_inside(name: str) -> None:
    """Open the Zoo page's view of one network."""
    st.session_state["view"], st.session_state["look"] = "inside", name
    st.session_state.pop(LOOK_KEY, None)


def take_look() -> None:
    """Take over the network that the Zoo page's view of one was turned to."""
    st.session_state["look"] = st.session_state[LOOK_KEY]


def tick_member(name: str, order: Sequence[str]) -> None:
    """Take over the box of one member; the rest of the choice stays, in the zoo's `order`.

    One box at a time: when a visitor is quick, a run ends before all boxes are drawn, and a box
    that wasn't drawn says nothing.
    """
    chosen = {*st.session_state["members"], name}
    if not st.session_state[MEMBER_KEY + name]:
        chosen.remove(name)
    st.session_state["members"] = tuple(each for each in order if each in chosen)
    st.session_state["params"] = st.session_state["macs"] = None


def take_limit(name: str, end: int) -> None:
    """Take over a budget slider; at its `end` there is no limit.

    Only when it is moved: a limit from the URL may lie outside of the slider, and is told to be
    impossible rather than changed in silence.
    """
    value = st.session_state[LIMIT_KEYS[name]]
    st.session_state[name] = None if value >= end else value


def _restore(shown: dict[str, str]) -> None:
    st.session_state[_NOTES] = ()
    st.session_state.pop(_NOTED_AT, None)
    for setting in SETTINGS:
        value = setting.default
        if setting.name in shown:
            try:
                value = setting.read(shown[setting.name])
            except ValueError:
                note(setting.refusal(shown[setting.name]))
        st.session_state[setting.name] = value
    st.session_state[_RESTORED] = True
    _forget_widgets()


def _forget_widgets() -> None:
    """Let the widgets that show a setting under a key of their own take its new value."""
    for key in [str(key) for key in st.session_state]:
        if key.startswith(MEMBER_KEY) or key in OWN_KEYS:
            del st.session_state[key]
