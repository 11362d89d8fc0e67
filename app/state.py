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

from app.assembly import read_choice, written_choice
from dery_core.data import task_names
from dery_core.partition import K_RANGE, Variant
from dery_core.reassembly import Budget
from dery_core.scoring import DEFAULT_SCORE, SCORES
from dery_core.search import Rules
from dery_core.similarity import MEASURES
from dery_core.zoo import SizeMeasure

SIZES: tuple[SizeMeasure, ...] = ("params", "macs", "nodes")
VARIANTS: tuple[Variant, ...] = ("staged", "free")
VIEWS = ("choose", "inside", "add")
SOURCES = ("catalogue", "checkpoint")
COMPARE_VIEWS = ("pair", "all", "map")
BLOCK_VIEWS = ("bars", "alike", "proof")
COSTS = ("macs", "params")
HYBRID_VIEWS = ("why", "pair", "inside")
EPSILON_RANGE = (0.0, 1.0)
MEMBER_KEY = "member_"
# Settings of a budget or a rule, with the keys of the widgets that show them.
LIMIT_KEYS = {
    "params": "max_params",
    "macs": "max_macs",
    "min_params": "least_params",
    "min_macs": "least_macs",
}
RULE_KEYS = {
    "with": "must_have",
    "without": "left_out",
    "with_blocks": "must_have_blocks",
    "without_blocks": "left_out_blocks",
    "cnn_first": "transformers_last",
}
SOURCES_KEY = "source_count"
SOURCE_COUNTS = ("min_models", "max_models")
PROBE_KEY = "probe_task"
ROW_KEY, COLUMN_KEY = "row_model", "column_model"
LOOK_KEY = "look_at"
HYBRID_KEYS = (*LIMIT_KEYS.values(), *RULE_KEYS.values(), SOURCES_KEY)
OWN_KEYS = (*HYBRID_KEYS, PROBE_KEY, LOOK_KEY, ROW_KEY, COLUMN_KEY)
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
        instead = "left out" if self.default in (None, ()) else f"showing {self.write(self.default)}"
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


Blocks = tuple[tuple[str, int], ...]


def _blocks(text: str) -> Blocks:
    """(network, stage from 0) of "resnet:1,vit:3", where blocks are counted from 1 as on the page."""
    pairs = (each.rpartition(":") for each in _names(text))
    return tuple((name, _between(1, K_RANGE[1], int)(block) - 1) for name, _, block in pairs)


def _written_blocks(blocks: Blocks) -> str:
    return ",".join(f"{name}:{stage + 1}" for name, stage in blocks)


LIMITS = {
    "params": "Parameters",
    "macs": "MACs",
    "min_params": "Parameters, at least",
    "min_macs": "MACs, at least",
}
_SOURCES = _between(2, K_RANGE[1], int)
_SOME = f"2 to {K_RANGE[1]}"
_SOME_BLOCKS = "networks with a block's number, such as vit:1"
_SOME_HYBRID = "a network's number for every block, such as 1-3-3-2"
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
    Setting("score", DEFAULT_SCORE, _one_of(*SCORES), label="Score", allowed=", ".join(SCORES)),
    *(
        Setting(name, None, _between(0, 10**15, int), label=label, allowed="a whole number")
        for name, label in LIMITS.items()
    ),
    Setting("min_models", 2, _SOURCES, label="Networks, at least", allowed=_SOME),
    Setting("max_models", None, _SOURCES, label="Networks, at most", allowed=_SOME),
    Setting("with", (), _names, ",".join),
    Setting("without", (), _names, ",".join),
    Setting("with_blocks", (), _blocks, _written_blocks, "Blocks to take", _SOME_BLOCKS),
    Setting("without_blocks", (), _blocks, _written_blocks, "Blocks to leave out", _SOME_BLOCKS),
    Setting("cnn_first", False, _yes, {True: "yes", False: "no"}.__getitem__, "CNN first", "yes, no"),
    Setting("chosen", None, read_choice, written_choice, "Chosen hybrid", _SOME_HYBRID),
    Setting("pinned", None, read_choice, written_choice, "Pinned hybrid", _SOME_HYBRID),
    Setting("axis", COSTS[0], _one_of(*COSTS), label="Axis", allowed=", ".join(COSTS)),
    Setting("about", HYBRID_VIEWS[0], _one_of(*HYBRID_VIEWS), label="View", allowed=", ".join(HYBRID_VIEWS)),
    Setting("run", None, str),
    Setting("view", VIEWS[0], _one_of(*VIEWS), label="View", allowed=", ".join(VIEWS)),
    Setting("look", None, str),
    Setting("adding", None, str),
    Setting("add_from", SOURCES[0], _one_of(*SOURCES), label="From", allowed=", ".join(SOURCES)),
)

_DEFAULTS = {setting.name: setting.default for setting in SETTINGS}


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
    """Set the chosen zoo members; budgets, rules and hybrids belong to the old choice and are dropped."""
    st.session_state["members"] = names
    _forget_hybrids()
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
    _forget_hybrids()


def rules() -> Rules:
    """What a hybrid has to keep to: the budget and the rules chosen on the Reassemble page."""
    return Rules(
        Budget(
            max_params=get("params"),
            max_macs=get("macs"),
            min_params=get("min_params"),
            min_macs=get("min_macs"),
        ),
        min_models=get("min_models"),
        max_models=get("max_models"),
        forbidden_models=get("without"),
        required_models=get("with"),
        forbidden_blocks=get("without_blocks"),
        required_blocks=get("with_blocks"),
        cnn_first=get("cnn_first"),
    )


def take_limit(name: str, end: int) -> None:
    """Take over a slider of a budget; at its `end` there is no limit.

    Only when it is moved: a limit from the URL may lie outside of the slider, and is told to be
    impossible rather than changed in silence.
    """
    value = st.session_state[LIMIT_KEYS[name]]
    st.session_state[name] = None if value == end else value
    st.session_state["chosen"] = None


def take_sources(most: int) -> None:
    """Take over how many networks a hybrid is made of; at `most` there is no limit."""
    low, high = st.session_state[SOURCES_KEY]
    st.session_state["min_models"] = low
    st.session_state["max_models"] = None if high == most else high
    st.session_state["chosen"] = None


def take_rule(name: str) -> None:
    """Take over a rule."""
    value = st.session_state[RULE_KEYS[name]]
    st.session_state[name] = tuple(value) if isinstance(value, list) else value
    st.session_state["chosen"] = None


def use_budget(budget: Budget) -> None:
    """Set both limits to those of `budget`; the sliders follow."""
    st.session_state["params"], st.session_state["macs"] = budget.max_params, budget.max_macs
    st.session_state["min_params"], st.session_state["min_macs"] = budget.min_params, budget.min_macs
    st.session_state["chosen"] = None
    _forget_widgets()


def drop_rules() -> None:
    """No rules any more; the limits stay."""
    for name in (*RULE_KEYS, *SOURCE_COUNTS):
        st.session_state[name] = _DEFAULTS[name]
    st.session_state["chosen"] = None
    _forget_widgets()


def choose(choice: Sequence[int] | None) -> None:
    """Show this hybrid instead of the best; None for the best."""
    st.session_state["chosen"] = None if choice is None else tuple(choice)


def pin(choice: Sequence[int] | None) -> None:
    """Keep this hybrid to compare others with; None for none."""
    st.session_state["pinned"] = None if choice is None else tuple(choice)


def settle(models: Sequence[str], k: int, tell: bool = False) -> None:
    """Leave out the rules and hybrids that speak of other networks than `models`, or of more blocks than
    `k`: `tell` when they came with the address."""
    for name in ("with", "without"):
        _keep(name, tuple(each for each in get(name) if each in models), tell)
    for name in ("with_blocks", "without_blocks"):
        _keep(name, tuple((each, at) for each, at in get(name) if each in models and at < k), tell)
    for name in ("chosen", "pinned"):
        choice = get(name)
        fits = choice is None or (len(choice) == k and max(choice) < len(models))
        _keep(name, choice if fits else None, tell)


def _keep(name: str, value: Any, tell: bool) -> None:
    if value == get(name):
        return
    if tell:
        note(_LEFT_OUT[name])
    leave_out(name, value)


_LEFT_OUT = {
    "with": "A network that must take part isn't chosen; left out.",
    "without": "A network that is ruled out isn't chosen; left out.",
    "with_blocks": "A block that must take part doesn't exist here; left out.",
    "without_blocks": "A block that is ruled out doesn't exist here; left out.",
    "chosen": "The hybrid in the address has other blocks than these networks; showing the best.",
    "pinned": "The pinned hybrid has other blocks than these networks; left out.",
}


def _forget_hybrids() -> None:
    for name in (*LIMIT_KEYS, *RULE_KEYS, *SOURCE_COUNTS, "chosen", "pinned"):
        st.session_state[name] = _DEFAULTS[name]


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
