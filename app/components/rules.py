"""The rules that a hybrid has to keep besides its budget, in an expander."""

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import state
from app.assembly import Assembly, budget_limits
from app.frames import joined
from dery_core.search import Rules
from dery_core.units import quantity


def rules_panel(assembly: Assembly) -> None:
    """What the rules are, in the expander's title; opened, the widgets that change them."""
    rules = state.rules()
    box = st.expander(title(rules), icon=":material/rule:", key="rules", on_change="rerun")
    if not box.open:
        return
    with box:
        _sources(assembly)
        left, right = st.columns(2, gap="large")
        names = assembly.candidates.models
        _several(left, "with", "Networks that must take part", names)
        _several(right, "without", "Networks left out", names)
        blocks = [(name, stage) for stage in range(assembly.candidates.k) for name in names]
        _several(left, "with_blocks", "Blocks that must take part", blocks)
        _several(right, "without_blocks", "Blocks left out", blocks)
        ends = assembly.extremes
        _least(left, "min_params", ends.min_params, ends.max_params)
        _least(right, "min_macs", ends.min_macs, ends.max_macs)
        st.session_state.setdefault(state.RULE_KEYS["cnn_first"], rules.cnn_first)
        st.toggle(
            "No CNN block after a transformer block",
            key=state.RULE_KEYS["cnn_first"],
            on_change=state.take_rule,
            args=("cnn_first",),
            help="A block counts as a transformer's when it hands on tokens or a map with channels last.",
        )
        if ruled(rules):
            st.button("Drop all rules", key="drop_rules", icon=":material/close:", on_click=state.drop_rules)


def title(rules: Rules) -> str:
    """What is ruled, in a line."""
    parts = []
    if rules.min_models > 2:
        parts.append(f"at least {rules.min_models} networks")
    if rules.max_models is not None:
        parts.append(f"at most {rules.max_models} networks")
    if rules.required_models:
        parts.append(f"with {joined(rules.required_models)}")
    if rules.forbidden_models:
        parts.append(f"without {joined(rules.forbidden_models)}")
    if rules.required_blocks:
        parts.append(f"with {joined([block_text(block) for block in rules.required_blocks])}")
    if rules.forbidden_blocks:
        parts.append(f"without {joined([block_text(block) for block in rules.forbidden_blocks])}")
    if rules.budget.min_params is not None:
        parts.append(f"at least {quantity(rules.budget.min_params)} params")
    if rules.budget.min_macs is not None:
        parts.append(f"at least {quantity(rules.budget.min_macs)} MACs")
    if rules.cnn_first:
        parts.append("no CNN block after a transformer block")
    return f"Rules: {'; '.join(parts)}" if parts else "Rules: any two or more of the networks"


def ruled(rules: Rules) -> bool:
    """Whether there is any rule besides the largest costs."""
    budget = rules.budget
    return rules != Rules(type(budget)(budget.max_params, budget.max_macs))


def block_text(block: tuple[str, int]) -> str:
    """What a block is called where it can be required or left out."""
    name, stage = block
    return f"block {stage + 1} of {name}"


def block_name(block: tuple[str, int]) -> str:
    """The same where it stands alone."""
    return f"B{block_text(block)[1:]}"


def _sources(assembly: Assembly) -> None:
    most = min(assembly.candidates.k, len(assembly.candidates.models))
    if most <= 2:
        return
    low, high = state.get("min_models"), state.get("max_models")
    shown = min(low, most), most if high is None else min(max(high, 2), most)
    st.session_state.setdefault(state.SOURCES_KEY, shown)
    st.slider(
        "Networks that a hybrid is made of, at least and at most",
        2,
        most,
        key=state.SOURCES_KEY,
        on_change=state.take_sources,
        args=(most,),
    )


def _several(place: DeltaGenerator, name: str, label: str, options: Sequence) -> None:
    key = state.RULE_KEYS[name]
    st.session_state.setdefault(key, list(state.get(name)))
    place.multiselect(
        label,
        options,
        format_func=lambda option: option if isinstance(option, str) else block_name(option),
        key=key,
        on_change=state.take_rule,
        args=(name,),
        placeholder="None",
    )


def _least(place: DeltaGenerator, name: str, low: int, high: int) -> None:
    limits = budget_limits(low, high)
    limits[0] = low
    chosen, key = state.get(name), state.LIMIT_KEYS[name]
    shown = next((limit for limit in reversed(limits) if chosen is not None and limit <= chosen), limits[0])
    st.session_state.setdefault(key, shown)
    place.select_slider(
        state.LIMITS[name],
        limits,
        key=key,
        format_func=quantity,
        on_change=state.take_limit,
        args=(name, limits[0]),
    )
