"""The idea in one picture: networks in blocks, and a hybrid made of some of them. As HTML."""

from app.colours import MODEL_COLOURS

# Rows are networks, entries the widths of their blocks; the hybrid takes block k of network PICKED[k].
WIDTHS = ((20, 26, 24, 30), (28, 22, 30, 20), (24, 30, 20, 26))
COLOURS = (MODEL_COLOURS[1], MODEL_COLOURS[6], MODEL_COLOURS[10])
PICKED = (1, 0, 2, 1)


def idea() -> str:
    """Three networks above, the hybrid below; the blocks it takes are drawn in full colour."""
    rows = [
        _row([(width, COLOURS[i], PICKED[k] == i) for k, width in enumerate(widths)])
        for i, widths in enumerate(WIDTHS)
    ]
    hybrid = _row([(WIDTHS[i][k], COLOURS[i], True) for k, i in enumerate(PICKED)])
    label = "Three networks cut into four blocks each; a hybrid takes one block of every place."
    return (
        f'<div class="dery-idea" role="img" aria-label="{label}">{"".join(rows)}'
        f'<div class="arrow">↓</div>{hybrid}</div>'
    )


def _row(blocks: list[tuple[int, str, bool]]) -> str:
    cells = "".join(
        f'<i style="flex-grow:{width};background:{colour};opacity:{1 if taken else 0.28}"></i>'
        for width, colour, taken in blocks
    )
    return f'<div class="row">{cells}</div>'
