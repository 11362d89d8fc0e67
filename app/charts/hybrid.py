"""A hybrid drawn as a row of blocks with the seams between them, as HTML."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from app.colours import NEUTRAL, text_on
from dery_core.units import quantity

if TYPE_CHECKING:
    from dery_core.reassembly import Fit, HybridRow


def hybrid_row(
    rows: "Sequence[HybridRow]", colours: Mapping[str, str], classes: int, sets: Sequence[int] = ()
) -> str:
    """HTML of the row: image, block, seam, block, ..., head; `rows` as `hybrid_table` gives them.

    `sets` holds the set of each stage's block, from 0, where the place doesn't tell it.
    """
    parts = ['<div class="end">image</div>']
    for row in rows:
        at = f" · set {sets[row.stage] + 1}" if sets and row.stage >= 0 else ""
        parts.append(_block(row, colours.get(row.model, NEUTRAL), at))
        if row is not rows[-1] and row.stage >= 0:
            parts.append(_seam(row.fit))
    parts.append(f'<div class="end">head<br>{classes} classes</div>')
    return f'<div class="dery-hybrid" data-blocks="{len(rows)}">{"".join(parts)}</div>'


def _block(row: "HybridRow", colour: str, at: str) -> str:
    nodes = row.first_node if row.nodes == 1 else f"{row.first_node} – {row.last_node}"
    stage = f"Block {row.stage + 1}{at}" if row.stage >= 0 else "Stem"
    return (
        f'<div class="block" style="background:{colour};color:{text_on(colour)}" '
        f'data-model="{escape(row.model)}" title="{escape(nodes)}">'
        f'<span class="stage">{stage}</span>'
        f'<span class="model">{escape(row.model)}</span>'
        f'<span class="nodes">{escape(nodes)}</span>'
        f'<span class="costs">{quantity(row.params)} params</span>'
        f'<span class="costs">{quantity(row.macs)} MACs</span></div>'
    )


def _seam(fit: "Fit | None") -> str:
    if fit is None:
        return '<div class="seam adjoin"><span class="arrow">→</span><span>same network, no seam</span></div>'
    lost = f'<span title="{escape("; ".join(fit.remarks))}">⚠ with a loss</span>' if fit.remarks else ""
    return (
        f'<div class="seam" title="{escape(fit.summary)}"><span>{escape(str(fit.source))}</span>'
        f'<span class="arrow">⇢</span><span>{escape(str(fit.target))}</span>'
        f"<span>+{quantity(fit.params)} params</span>{lost}</div>"
    )
