"""How far a score can be trusted: its order against that of hybrids which were really trained."""

from collections.abc import Sequence
from functools import lru_cache
from html import escape

import streamlit as st

from app import steps
from dery_core.data import TARGET_TASK
from dery_core.scoring import SCORES
from dery_core.scoring.trust import Protocol, Trust, rivals_sentence, trained, trust_of, trust_table
from dery_core.zoo import Zoo, embedded_zoo

PROTOCOLS: dict[Protocol, str] = {"frozen": "seams and head tuned", "full": "everything tuned"}

# The family of scores that fit seams and head in closed form, where trainings start too.
FITTED = "transfer"

# Kendall's tau from which a ranking is called so.
_STRENGTHS = ((0.6, "strongly"), (0.4, "fairly"), (0.2, "weakly"), (0.0, "hardly"))


def trust_badge(score: str) -> None:
    """Beside a score: a bar for each way of tuning, and what ranks better; more when it is pointed at."""
    found = [trust for protocol in PROTOCOLS if (trust := trust_of(score, protocol)) is not None]
    with st.container(key="trust"):
        if not found:
            st.caption(f"How far {SCORES[score].title} can be trusted has not been measured.")
            return
        rivals = (rivals_sentence(score, trust.protocol) for trust in found)
        zoo = steps.zoo()
        origin = spoken_origin(found, _seeds(), zoo, steps.members(zoo), steps.TARGET_TASK)
        st.html(badge(found, next(filter(None, rivals), ""), origin))


def trust_table_view(score: str = "") -> None:
    """All scores, best first, folded; `score` is marked."""
    tables = {protocol: trust_table(protocol) for protocol in PROTOCOLS}
    if not any(tables.values()):
        return
    with st.expander("How far each score can be trusted", icon=":material/balance:", key="trust_table"):
        columns = "".join(
            table_html(table, PROTOCOLS[protocol], score) for protocol, table in tables.items() if table
        )
        st.html(f'<div class="dery-trusts">{columns}</div>')
        st.caption(
            "Kendall's τ between a score and the accuracy after training: 1 is the same order, 0 is chance, "
            "−1 the reverse. The line is the 95 % interval over resampled hybrids: where two lines overlap "
            "much, don't call one score better than the other."
        )
        found = [trust for table in tables.values() for trust in table if trust.score == score]
        if found:
            zoo = steps.zoo()
            st.caption(spoken_origin(found, _seeds(), zoo, steps.members(zoo), steps.TARGET_TASK))


def spoken_rank(trust: Trust) -> str:
    """How well the score ranks, in words and figures."""
    return f"{_strength(trust)}: τ {_number(trust.tau)}, {_number(trust.low)} to {_number(trust.high)}"


def spoken_origin(found: Sequence[Trust], seeds: int, zoo: Zoo, chosen: Sequence[str], task: str) -> str:
    """On what it was measured, and that other networks or another task may differ."""
    count = max(trust.count for trust in found)
    said = (
        f"Measured on {count} hybrids of the networks that come with DeRy Studio, trained on {TARGET_TASK} "
        f"with {seeds} {'seed' if seeds == 1 else 'seeds'}."
    )
    if any(SCORES[trust.score].family == FITTED for trust in found):
        said += " They started from the closed-form seams that this score looks at: it saw the race begin."
    others = [name for name in chosen if (name, zoo.model(name).sha256) not in _embedded()]
    if others:
        return f"{said} With other networks, such as {others[0]}, it may be better or worse."
    if task != TARGET_TASK:
        return f"{said} On {task} it may be better or worse."
    return said


def badge(found: Sequence[Trust], rivals: str, origin: str) -> str:
    """HTML: one line a way of tuning; `rivals` says which plain costs rank better, `origin` is told when
    it is pointed at."""
    lines = "".join(
        f'<div class="line" data-protocol="{trust.protocol}" '
        f'title="ranks trained hybrids {spoken_rank(trust)}">'
        f"<span>{_capital(PROTOCOLS[trust.protocol])}</span>{bar(trust)}"
        f"<span>{_strength(trust)}, <b>τ {_number(trust.tau)}</b></span></div>"
        for trust in found
    )
    told = f'<div class="rivals">⚠ {escape(rivals)}</div>' if rivals else ""
    return f'<div class="dery-trust badge" title="{escape(origin)}">{lines}{told}</div>'


def table_html(table: Sequence[Trust], title: str, score: str = "") -> str:
    """HTML: one line a score, best first."""
    lines = [f'<div class="head"><b>{_capital(title)}</b></div>']
    for trust in table:
        own = " own" if trust.score == score else ""
        about = SCORES[trust.score]
        interval = f"{_number(trust.low)} to {_number(trust.high)}"
        lines.append(
            f'<div class="line{own}" data-score="{trust.score}" title="{escape(about.sentence)}">'
            f"<span>{escape(about.title)}</span>{bar(trust)}"
            f"<span>{_number(trust.tau)}<small> {interval}</small></span></div>"
        )
    return f'<div class="dery-trust table">{"".join(lines)}</div>'


def bar(trust: Trust) -> str:
    """HTML: τ as a bar from 0, its interval as a line, on a scale from −1 to 1."""
    low, zero, tau, high = (50 + 50 * max(-1.0, min(1.0, x)) for x in (trust.low, 0.0, trust.tau, trust.high))
    left, right = sorted((zero, tau))
    kind = "tau" if trust.tau >= 0 else "tau wrong"
    label = f"Kendall's tau {trust.tau:.2f}, 95 % interval {trust.low:.2f} to {trust.high:.2f}"
    return (
        f'<span class="scale" role="img" aria-label="{label}" title="{label}"><i class="zero"></i>'
        f'<i class="{kind}" style="left:{left:.1f}%;width:{right - left:.1f}%"></i>'
        f'<i class="whisker" style="left:{low:.1f}%;width:{high - low:.1f}%"></i></span>'
    )


def _strength(trust: Trust) -> str:
    if trust.low <= 0 <= trust.high:
        return "perhaps by chance"
    if trust.tau < 0:
        return "wrong way round"
    return next(word for least, word in _STRENGTHS if trust.tau >= least)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _seeds() -> int:
    return max(trained(protocol).top1.shape[1] for protocol in PROTOCOLS)


@lru_cache
def _embedded() -> frozenset[tuple[str, str]]:
    return frozenset((model.name, model.sha256) for model in embedded_zoo().models)


def _number(value: float) -> str:
    # Rounded first, so that there is no −0.00.
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")
