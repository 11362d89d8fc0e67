"""A hybrid as a picture: what it costs, to scale, and below it its blocks with the seams between, as HTML."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal

from app.colours import NEUTRAL, text_on
from dery_core.units import quantity

if TYPE_CHECKING:
    from dery_core.reassembly import HybridRow

Size = Literal["params", "macs"]
SIZE_NAMES: dict[Size, str] = {"params": "parameters", "macs": "MACs"}

# Shares of the picture's width, before they are scaled to fill it.
_IMAGE, _HEAD, _SEAM, _ADJOIN = 0.36, 0.6, 0.7, 0.0
# With more blocks than that side by side nobody can read them: they are listed instead.
_ABREAST = 5
# Shares of the strip that a number, and a number with its share, take at least.
_NUMBERED, _TOLD = 0.018, 0.075


@dataclass(frozen=True)
class _Part:
    """A piece of the chain from image to head: its width there, and what it costs."""

    html: str
    width: float
    kind: Literal["image", "block", "seam", "adjoin", "head"]
    costs: tuple[int, int] = (0, 0)
    colour: str = ""
    label: str = ""
    name: str = ""


def hybrid_row(
    rows: "Sequence[HybridRow]",
    colours: Mapping[str, str],
    classes: int,
    sets: Sequence[int] = (),
    size: Size = "macs",
    whole: int | None = None,
    differing: Collection[int] = (),
) -> str:
    """HTML of the picture; `rows` as `hybrid_table` gives them.

    Above a strip, in which every block, seam and the head is as wide as its share of `size`; its full
    width is `whole`, without it what the hybrid has. Below image, block, seam, block, ..., head. `sets`
    holds the set of each stage's block, from 0, where the place doesn't tell it. Blocks of the stages
    `differing` are marked.
    """
    totals = total_costs(rows)
    share = _shares(totals)
    parts = [_Part('<div class="end">image</div>', _IMAGE, "image")]
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        marks = {"data-joins": _joins(row, after), "data-differs": row.stage in differing}
        parts.append(_block(row, colours.get(row.model, NEUTRAL), sets, share, size, marks))
        if after is not None and row.stage >= 0:
            parts.append(_seam(row, share, size))
    parts.append(_head(rows[-1], classes, share, size))
    listed = " listed" if len(rows) > _ABREAST else ""
    at = ("params", "macs").index(size)
    strip = _strip(parts, at, max(whole or totals[at], 1), share)
    columns = " ".join(f"minmax(0,{part.width:g}fr)" for part in parts)
    chain = "".join(part.html for part in parts)
    return (
        f'<div class="dery-hybrid{listed}" data-blocks="{len(rows)}" data-size="{size}">{strip}'
        f'<div class="chain" style="grid-template-columns:{columns}">{chain}</div>'
        f"{_legend(rows, size)}</div>"
    )


def total_costs(rows: "Sequence[HybridRow]") -> tuple[int, int]:
    """Params and MACs of the whole hybrid, seams and head included."""
    return sum(row.params + row.seam_params for row in rows), sum(row.macs + row.seam_macs for row in rows)


_Share = Callable[[tuple[int, int]], tuple[str, str]]


def _shares(totals: tuple[int, int]) -> _Share:
    """How a part's shares of params and MACs are written."""

    def written(costs: tuple[int, int]) -> tuple[str, str]:
        params, macs = (percent(cost, total) for cost, total in zip(costs, totals, strict=True))
        return params, macs

    return written


def percent(count: int, total: int) -> str:
    """A share in whole percent, in tenths below one."""
    share = 100 * count / max(total, 1)
    if 0 < share < 0.1:
        return "<0.1 %"
    return f"{share:.1f} %" if 0 < share < 0.95 else f"{share:.0f} %"


def _joins(row: "HybridRow", after: "HybridRow | None") -> bool:
    return after is not None and row.stage >= 0 and row.fit is None


def _block(
    row: "HybridRow", colour: str, sets: Sequence[int], share: _Share, size: Size, marks: Mapping[str, bool]
) -> _Part:
    stem = row.stage < 0
    nodes = row.first_node if row.nodes == 1 else f"{row.first_node} – {row.last_node}"
    stage = "Stem" if stem else f"Block {row.stage + 1}"
    at = f" · set {sets[row.stage] + 1}" if sets and not stem else ""
    name = "new, untrained" if stem else row.model
    count = "" if stem else f" ({row.nodes} {'node' if row.nodes == 1 else 'nodes'})"
    costs = (row.params, row.macs)
    lost = row.fit.remarks if stem and row.fit else ()
    tip = [f"<b>{stage}{at}: {escape(name)}</b>", escape(nodes) + count, *_spoken(costs, share)]
    html = (
        f'<div class="block" style="background:{colour};color:{text_on(colour)}" tabindex="0" '
        f'data-model="{escape(row.model)}"{"".join(f" {mark}" for mark, on in marks.items() if on)}>'
        f'<span class="stage">{stage}{at}</span>'
        f'<span class="model">{_breakable(name)}</span>'
        f'<span class="nodes">{_breakable(nodes)}<small>{count}</small></span>'
        f"{_costs(costs, share, size)}{_losses(lost)}{_tip(tip, lost)}</div>"
    )
    number = "" if stem else str(row.stage + 1)
    return _Part(html, 1.0, "block", costs, colour, number, f"{stage}{at}: {name}")


def _seam(row: "HybridRow", share: _Share, size: Size) -> _Part:
    fit = row.fit
    if fit is None:
        html = '<div class="seam adjoin" tabindex="0"><span class="ring"></span>'
        tip = [
            "<b>same network, no seam</b>",
            "The two blocks follow each other there too.",
        ]
        return _Part(f"{html}{_tip(tip)}</div>", _ADJOIN, "adjoin")
    costs = (row.seam_params, row.seam_macs)
    tip = [f"<b>Seam: {escape(fit.summary)}</b>", *_spoken(costs, share, "+")]
    html = (
        f'<div class="seam" tabindex="0"><span class="shape">{_shape(fit.source)}</span>'
        f'<span class="arrow">⇢</span><span class="shape">{_shape(fit.target)}</span>'
        f"{_costs(costs, share, size, '+')}{_losses(fit.remarks)}{_tip(tip, fit.remarks)}</div>"
    )
    return _Part(html, _SEAM, "seam", costs, "", "", f"Seam after block {row.stage + 1}")


def _head(row: "HybridRow", classes: int, share: _Share, size: Size) -> _Part:
    costs = (row.seam_params, row.seam_macs)
    tip = [f"<b>Head: {classes} classes</b>", escape(row.seam), *_spoken(costs, share, "+")]
    html = (
        f'<div class="end" tabindex="0"><span>head</span><span>{classes} classes</span>'
        f"{_costs(costs, share, size, '+')}{_tip([line for line in tip if line])}</div>"
    )
    return _Part(html, _HEAD, "head", costs, "", "", "Head")


def _costs(costs: tuple[int, int], share: _Share, size: Size, sign: str = "") -> str:
    """One line a measure; the one that the strip shows is in bold, and of new layers it stands alone."""
    lines = zip(("params", "macs"), costs, share(costs), ("params", "MACs"), strict=True)
    written = (
        f'<span class="costs{" shown" if each == size else ""}">'
        f"<span>{sign}{quantity(count)} {unit}</span> <i>{of}</i></span>"
        for each, count, of, unit in lines
        if each == size or not sign
    )
    return f'<span class="figures">{"".join(written)}</span>'


def _spoken(costs: tuple[int, int], share: _Share, sign: str = "") -> list[str]:
    of = share(costs)
    return [
        f"{sign}{costs[0]:,} params: {of[0]} of the hybrid's",
        f"{sign}{costs[1]:,} MACs: {of[1]} of the hybrid's",
    ]


def _losses(remarks: Sequence[str]) -> str:
    return f'<span class="lost">⚠ {_short(remarks)}</span>' if remarks else ""


def _short(remarks: Sequence[str]) -> str:
    return "a loss" if len(remarks) == 1 else f"{len(remarks)} losses"


def _tip(lines: Sequence[str], remarks: Sequence[str] = ()) -> str:
    """What is said when a part is pointed at. `lines` are markup, `remarks` are not."""
    told = [*lines, *(f"⚠ {escape(remark)}" for remark in remarks)]
    return f'<span class="tip" role="tooltip">{"".join(f"<span>{line}</span>" for line in told)}</span>'


def _shape(layout: object) -> str:
    return escape(str(layout))


def _breakable(name: str) -> str:
    """The name, which may go on in the next line after a mark."""
    return re.sub(r"([._/–-])(?!\d)", r"\1<wbr>", escape(name))


def _strip(parts: Sequence[_Part], at: int, whole: int, share: _Share) -> str:
    """The hybrid to scale, and from every piece of it a ribbon to its place in the chain."""
    pieces, ribbons, passed, begin = [], [], 0.0, 0.0
    widths = sum(part.width for part in parts)
    for i, part in enumerate(parts):
        here, wide = part.costs[at] / whole, part.width / widths
        if part.kind in ("block", "seam", "head"):
            told = share(part.costs)[at]
            label = f"{part.label} · {told}" if here >= _TOLD and part.label else part.label
            ink = f"background:{part.colour};color:{text_on(part.colour)};" if part.colour else ""
            joins = " joins" if i + 1 < len(parts) and parts[i + 1].kind == "adjoin" else ""
            place = f"left:{100 * passed:.3f}%;width:{100 * here:.3f}%"
            pieces.append(
                f'<i class="of-{part.kind}{joins}" style="{ink}{place}" '
                f'title="{escape(part.name)}: {told}">{label if here >= _NUMBERED else ""}</i>'
            )
            corners = ((passed, 0), (passed + here, 0), (begin + wide, 100), (begin, 100))
            polygon = ",".join(f"{100 * x:.2f}% {y}%" for x, y in corners)
            shape = f"background:{part.colour};clip-path:polygon({polygon})"
            ribbons.append(f'<i class="of-{part.kind}" style="{shape}"></i>')
            passed += here
        begin += wide
    return f'<div class="strip">{"".join(pieces)}</div><div class="ribbons">{"".join(ribbons)}</div>'


def _legend(rows: "Sequence[HybridRow]", size: Size) -> str:
    adjoining = any(_joins(row, after) for row, after in zip(rows, rows[1:], strict=False))
    said = [f"Strip: share of the hybrid's {SIZE_NAMES[size]}, to scale."]
    said.append('<i class="key"></i> Seams and head: new layers.')
    if adjoining:
        said.append('<i class="key ring"></i> Blocks of the same network, no seam between them.')
    return f'<div class="legend">{"".join(f"<span>{each}</span>" for each in said)}</div>'
