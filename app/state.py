"""What a visitor has chosen: kept in the session, mirrored in the URL.

Every setting lives in `st.session_state` under its own name, which is also the key of its widget
and its name in the URL. Streamlit's `bind="query-params"` is not used: it drops a setting from the
URL on pages that don't show its widget, and a shared link must hold the whole exploration.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dery_core.zoo import SizeMeasure

SIZES: tuple[SizeMeasure, ...] = ("params", "macs", "nodes")
K_RANGE = (2, 8)
EPSILON_RANGE = (0.05, 1.0)
_PUBLISHED = "_published"


@dataclass(frozen=True)
class Setting:
    """One choice: how it is read from the URL (ValueError when it can't be) and its default."""

    name: str
    default: Any
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str


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


SETTINGS = (
    Setting("members", (), _names, ",".join),
    Setting("k", 4, _between(*K_RANGE, int)),
    Setting("epsilon", 0.2, _between(*EPSILON_RANGE, float), "{:g}".format),
    Setting("size", "params", _one_of(*SIZES)),
    Setting("max_params", None, _between(0, 10**15, int)),
    Setting("max_macs", None, _between(0, 10**15, int)),
    Setting("run", None, str),
)


def sync() -> None:
    """Bring session and URL in line: an opened or revisited URL wins, else the session does."""
    shown = st.query_params.to_dict()
    if _PUBLISHED not in st.session_state or (shown and shown != st.session_state[_PUBLISHED]):
        _restore(shown)
    publish()


def publish() -> None:
    """Write what differs from the defaults to the URL. Fragments call it after their sliders."""
    wanted = {
        setting.name: setting.write(value)
        for setting in SETTINGS
        if (value := st.session_state.get(setting.name, setting.default)) not in (None, setting.default)
    }
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)
    st.session_state[_PUBLISHED] = wanted


def get(name: str) -> Any:
    """Value of one setting."""
    return st.session_state[name]


def choose_members(names: tuple[str, ...]) -> None:
    """Set the chosen zoo members; budgets belong to the old choice and are dropped."""
    st.session_state["members"] = names
    st.session_state["max_params"] = st.session_state["max_macs"] = None
    for key in [key for key in st.session_state if str(key).startswith("member_")]:
        del st.session_state[key]


def _restore(shown: dict[str, str]) -> None:
    for setting in SETTINGS:
        value = setting.default
        if setting.name in shown:
            try:
                value = setting.read(shown[setting.name])
            except ValueError:
                value = setting.default
        st.session_state[setting.name] = value
    for key in [key for key in st.session_state if str(key).startswith("member_")]:
        del st.session_state[key]
