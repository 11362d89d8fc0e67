"""How the best partition found and the bound on any came together."""

from collections.abc import Sequence

import plotly.graph_objects as go

from app.charts.style import styled
from app.colours import ACCENT

BOUND, FOUND = ACCENT, "#2f8a94"
# Parts of what the found rose and the bound fell that are shown beyond both.
ROOM = 0.12


def proof_lines(trace: Sequence[tuple[float, float]]) -> go.Figure:
    """The objective and the bound after every step of a proof: `trace` holds (objective, bound)."""
    found, bound = zip(*trace, strict=True)
    steps = list(range(1, len(trace) + 1))
    figure = go.Figure()
    # A single step is no line: its ends are marked.
    mode = "lines+markers" if len(trace) <= 25 else "lines"
    for name, values, colour, fill in (
        ("No partition exceeds", bound, BOUND, None),
        ("Best found", found, FOUND, "tonexty"),
    ):
        figure.add_scatter(
            x=steps,
            y=values,
            name=name,
            mode=mode,
            line={"color": colour, "width": 3, "shape": "hv"},
            marker={"size": 8},
            fill=fill,
            fillcolor="rgba(128,138,152,0.18)",
            hovertemplate=f"step %{{x}}<br>{name} <b>%{{y:.4f}}</b><extra></extra>",
        )
    low, high = min(found), max(bound)
    room = ROOM * (high - low) or 0.01 * abs(high)
    styled(figure, height=440, hovermode="x unified")
    figure.update_xaxes(title="Step of the proof", showgrid=False, range=[0.5, len(trace) + 0.5])
    figure.update_xaxes(**({"dtick": 1} if len(trace) <= 12 else {}))
    return figure.update_yaxes(title="Similarity in all", range=[low - room, high + room])
