"""Why this hybrid: which limit holds it back, and what a little more of each would buy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

import streamlit as st

from app import state
from app.assembly import Assembly
from app.colours import NEUTRAL, model_colours
from app.components.score_text import difference, written
from app.frames import joined
from dery_core.reassembly import Budget, Choice
from dery_core.search import Gain, Rules
from dery_core.units import figure, quantity

WITHIN = 0.10
_WITHIN = f"{100 * WITHIN:.0f} %"
UNITS = {"params": "parameters", "macs": "MACs"}


def why_panel(assembly: Assembly, rules: Rules, choice: Choice) -> None:
    """One card a limit; its button sets the limit that would buy a better hybrid.

    `choice` is the hybrid shown; where it isn't the best under `rules`, that is said and the cards are
    about the best.
    """
    best = assembly.finder.best(rules)[0]
    gains = assembly.finder.gains(rules, best, WITHIN)
    models, colours = assembly.candidates.models, model_colours(assembly.zoo.names)
    with st.container(key="why"):
        if best.choice != choice.choice:
            st.markdown(spoken_better(choice, best))
        st.markdown(spoken_binding(gains))
        if not gains:
            return
        for place, gain in zip(st.columns(len(gains), gap="medium"), gains, strict=True):
            with place.container(border=True, height="stretch"):
                st.html(gain_card(gain, best, models, colours))
                if gain.to is not None:
                    st.button(
                        spoken_move(gain),
                        key=f"raise_{gain.limit}",
                        icon=":material/trending_up:" if _most(gain) else ":material/trending_down:",
                        on_click=state.use_budget,
                        args=(raised(rules.budget, gain),),
                    )
        if any(gain.price for gain in gains):
            st.caption(
                "A shadow price is what one more parameter or MAC is worth if blocks could be taken in "
                "fractions. Blocks are whole, so the score moves in steps: the cards tell the next one."
            )


def raised(budget: Budget, gain: Gain) -> Budget:
    """The budget with the limit moved as far as the gain needs."""
    return replace(budget, **{gain.limit: gain.to})


def spoken_better(choice: Choice, best: Choice) -> str:
    """That the hybrid shown isn't the best."""
    less = difference(best.predicted - choice.predicted)
    return (
        f"This hybrid was picked, not found as the best: within the same limits the best one scores "
        f"**{less}** ({written(best.predicted)}). What follows is about that one."
    )


def spoken_binding(gains: Sequence[Gain]) -> str:
    """Which limit holds the best hybrid back."""
    if not gains:
        return "No limit is set: no hybrid of these blocks scores higher than the best one."
    binding = [_name(gain) for gain in gains if gain.to is not None]
    if not binding:
        which = "the limit" if len(gains) == 1 else "any one limit"
        return f"Moving {which} by up to {_WITHIN} buys nothing: no hybrid there scores higher."
    holds = "holds" if len(binding) == 1 else "hold"
    alone = ", each for itself" if len(binding) > 1 else ""
    return (
        f"**What {holds} the score back: {joined(binding)}{alone}.** The smallest step, of {_WITHIN} at "
        "most, that buys a better hybrid:"
    )


def spoken_move(gain: Gain) -> str:
    """What the button does."""
    assert gain.to is not None
    verb = "Raise" if _most(gain) else "Lower"
    return f"{verb} to {_digits(gain.to, gain.now)} {UNITS[_size(gain)]}"


def spoken_price(gain: Gain) -> str:
    """The shadow price for one percent of the limit, which a person can imagine; nothing without one."""
    step = max(1, round(gain.now / 100))
    worth = abs(gain.price) * step
    if not worth:
        return ""
    unit = UNITS[_size(gain)]
    told = figure(float(f"{worth:.2g}"))
    return f"Shadow price: 1 % more or less ({quantity(step)} {unit}) is worth about {told} of score."


def gain_card(gain: Gain, best: Choice, models: Sequence[str], colours: Mapping[str, str]) -> str:
    """HTML: the limit, how much of it is used, what a better hybrid needs and which blocks change."""
    used = getattr(best, _size(gain))
    unit = UNITS[_size(gain)]
    filled = min(100.0, 100 * used / max(gain.now, 1))
    bound = "at most" if _most(gain) else "at least"
    lines = [
        f"<span><b>{unit[0].upper()}{unit[1:]}, {bound} {quantity(gain.now)}</b></span>",
        f"<span>the best hybrid has {quantity(used)}</span>",
        f'<span class="used"><i style="width:{filled:.1f}%"></i></span>' if _most(gain) else "",
    ]
    if gain.to is None or gain.choice is None:
        way = "more" if _most(gain) else "less"
        lines.append(f'<span class="buys">nothing within {_WITHIN} {way}</span>')
    else:
        gained = difference(gain.choice.predicted - best.predicted)
        moved = 100 * abs(gain.to - gain.now) / max(gain.now, 1)
        way = "more" if _most(gain) else "fewer"
        lines.append(
            f'<span class="buys">score {gained}<small> for {moved:.2g} % {way} {unit}</small></span>'
        )
        lines.append(f"<span>{written(best.predicted)} → {written(gain.choice.predicted)}</span>")
        lines += _changes(best.choice, gain.choice.choice, models, colours)
    price = spoken_price(gain)
    lines.append(f'<span class="price">{price}</span>' if price else "")
    return f'<div class="dery-gain" data-limit="{gain.limit}">{"".join(lines)}</div>'


def _changes(
    before: Sequence[int], after: Sequence[int], models: Sequence[str], colours: Mapping[str, str]
) -> list[str]:
    """One line a stage that changes: from which network's block to which."""
    return [
        f"<span>Block {stage + 1}: {chip(models[old], colours)} → {chip(models[new], colours)}</span>"
        for stage, (old, new) in enumerate(zip(before, after, strict=True))
        if old != new
    ]


def chip(model: str, colours: Mapping[str, str]) -> str:
    """A network's name beside its colour, as HTML."""
    colour = colours.get(model, NEUTRAL)
    swatch = f'<i class="dery-swatch" style="background:{colour}"></i>'
    return f'<span class="dery-chip">{swatch}{escape(model)}</span>'


def _name(gain: Gain) -> str:
    return f"the {'limit on' if _most(gain) else 'minimum of'} {UNITS[_size(gain)]}"


def _digits(count: int, now: int) -> str:
    """The count in as few digits as keep it apart from the limit of now."""
    short = quantity(count)
    return f"{count:,}" if short == quantity(now) else short


def _most(gain: Gain) -> bool:
    return gain.limit.startswith("max_")


def _size(gain: Gain) -> str:
    return gain.limit.removeprefix("max_").removeprefix("min_")
