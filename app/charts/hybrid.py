"""A hybrid drawn as a row of blocks with the seams between them, as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from app.colours import text_on
from dery_core.units import quantity


@dataclass(frozen=True)
class DrawnBlock:
    """One block of the row: where it comes from and what it costs."""

    model: str
    first_node: str
    last_node: str
    nodes: int
    params: int
    macs: int
    colour: str


@dataclass(frozen=True)
class DrawnSeam:
    """What happens between two blocks; `stitched` is False where they adjoin in one model."""

    before: str
    after: str
    params: int
    stitched: bool = True


def hybrid_row(blocks: Sequence[DrawnBlock], seams: Sequence[DrawnSeam], classes: int) -> str:
    """HTML of the row: image, block, seam, block, ..., head. One seam fewer than blocks."""
    if len(seams) != len(blocks) - 1:
        raise ValueError(f"{len(blocks)} blocks need {len(blocks) - 1} seams, not {len(seams)}")
    parts = ['<div class="end">image</div>']
    for stage, block in enumerate(blocks):
        if stage:
            parts.append(_seam(seams[stage - 1]))
        parts.append(_block(stage, block))
    parts.append(f'<div class="end">head<br>{classes} classes</div>')
    return f'<div class="dery-hybrid" data-blocks="{len(blocks)}">{"".join(parts)}</div>'


def _block(stage: int, block: DrawnBlock) -> str:
    nodes = block.first_node if block.nodes == 1 else f"{block.first_node} – {block.last_node}"
    return (
        f'<div class="block" style="background:{block.colour};color:{text_on(block.colour)}" '
        f'data-model="{escape(block.model)}" title="{escape(nodes)}">'
        f'<span class="stage">Block {stage + 1}</span>'
        f'<span class="model">{escape(block.model)}</span>'
        f'<span class="nodes">{escape(nodes)}</span>'
        f"<span>{quantity(block.params)} params · {quantity(block.macs)} MACs</span></div>"
    )


def _seam(seam: DrawnSeam) -> str:
    if not seam.stitched:
        return '<div class="seam adjoin"><span>→</span><span>same network, no seam</span></div>'
    return (
        f'<div class="seam"><span>{escape(seam.before)}</span><span class="arrow">⇢</span>'
        f"<span>{escape(seam.after)}</span><span>+{quantity(seam.params)} params</span></div>"
    )
