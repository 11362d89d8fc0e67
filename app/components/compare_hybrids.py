"""Two hybrids beside each other: drawn to one scale, in figures, and where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from app import state, steps
from app.assembly import Assembly
from app.charts.hybrid import Size, hybrid_row
from app.colours import model_colours
from app.components.score_text import difference, written
from app.frames import joined, run_frame
from dery_core.jobs import Run
from dery_core.reassembly import Choice, HybridRow, HybridSpec
from dery_core.training import RunSpec
from dery_core.units import quantity


@dataclass(frozen=True)
class Side:
    """One of the two; `trained` are accuracies in percent by how it was tuned."""

    title: str
    choice: Choice
    rows: Sequence[HybridRow]
    trained: dict[str, list[float]]

    @property
    def names(self) -> tuple[str, ...]:
        """The source network of every block."""
        return tuple(row.model for row in self.rows if row.stage >= 0)


def compare_panel(
    assembly: Assembly, first: Choice, second: Choice, titles: tuple[str, str] = ("First", "Second")
) -> None:
    """The two pictures one above the other, the figures, and which blocks differ."""
    runs = steps.runs()
    sides = []
    for title, choice in zip(titles, (first, second), strict=True):
        spec = assembly.spec(choice)
        sides.append(Side(title, choice, assembly.rows(spec), trained_as(spec, runs)))
    colours, classes = model_colours(assembly.zoo.names), assembly.candidates.num_classes
    with st.container(key="compared"):
        st.markdown(spoken_difference(sides[0].names, sides[1].names))
        size: Size = state.get("axis")
        whole = max(getattr(side.choice, size) for side in sides)
        differing = _differing(sides[0].names, sides[1].names)
        if len(differing) == len(sides[0].names):
            differing = ()  # marks on all blocks would tell nothing
        for side in sides:
            st.markdown(f"**{side.title}**")
            sets = assembly.sets(side.choice) if _free(assembly) else ()
            st.html(hybrid_row(side.rows, colours, classes, sets, size, whole, differing))
        st.table(figures(*sides), hide_index=True, border="horizontal")
        if not any(side.trained for side in sides):
            st.caption("Neither of the two has been fine-tuned yet: scores promise, runs measure.")


def figures(first: Side, second: Side) -> pd.DataFrame:
    """One line a figure: either side's, and how much more the second has."""
    lines = {
        "Parameters": _counts(first.choice.params, second.choice.params),
        "MACs": _counts(first.choice.macs, second.choice.macs),
        **_score_lines(first.choice, second.choice),
        "Seams": _plain(len(_seams(first)), len(_seams(second))),
        "Seams with a loss": _plain(*(sum(_lossy(row) for row in _seams(side)) for side in (first, second))),
        "Parameters of the seams": _counts(
            *(sum(row.seam_params for row in _seams(side)) for side in (first, second))
        ),
        "Source networks": _plain(len(set(first.names)), len(set(second.names))),
    }
    for protocol in dict.fromkeys([*first.trained, *second.trained]):
        lines[f"Top-1 after {protocol} tuning"] = _tops(
            first.trained.get(protocol, []), second.trained.get(protocol, [])
        )
    columns = [" ", first.title, second.title, "Difference"]
    return pd.DataFrame([(name, *line) for name, line in lines.items()], columns=columns)


def spoken_difference(first: Sequence[str], second: Sequence[str]) -> str:
    """Which blocks differ, by the networks they come from."""
    at = _differing(first, second)
    if not at:
        return "Both are the **same hybrid**: all blocks are alike."
    listed = joined([f"block {stage + 1} ({first[stage]} or {second[stage]})" for stage in at])
    if len(at) == len(first):
        return f"**All {len(at)} blocks** differ: {listed}."
    return f"**{len(at)} of {len(first)} blocks** {'differs' if len(at) == 1 else 'differ'}: {listed}."


def trained_as(spec: HybridSpec, runs: Sequence[Run]) -> dict[str, list[float]]:
    """Top-1 in percent of finished runs of this very hybrid on the target task, by how it was tuned."""
    frame = run_frame(runs)
    done = frame[frame["hybrid"].astype(bool) & frame["top1"].notna() & (frame["task"] == steps.TARGET_TASK)]
    by_id = {run.id: run for run in runs}
    found: dict[str, list[float]] = {}
    for line in done.to_dict("records"):
        run = by_id[line["id"]].spec
        if isinstance(run, RunSpec) and run.hybrid and _built(run.hybrid) == _built(spec):
            start = ", closed-form start" if line["start"] == "closed-form" else ""
            found.setdefault(f"{line['protocol']}{start}", []).append(float(line["top1"]))
    return found


def _built(spec: HybridSpec) -> tuple[object, ...]:
    """What makes two hybrids one: blocks, seams, head, and the weights of their sources."""
    sources = tuple((model.name, model.architecture, model.weights, model.sha256) for model in spec.models)
    return spec.blocks, spec.seam, spec.strides, spec.num_classes, sources


def _differing(first: Sequence[str], second: Sequence[str]) -> tuple[int, ...]:
    return tuple(stage for stage, names in enumerate(zip(first, second, strict=True)) if len(set(names)) > 1)


def _free(assembly: Assembly) -> bool:
    return any(sets != tuple(range(len(sets))) for sets in assembly.candidates.sets)


def _seams(side: Side) -> list[HybridRow]:
    return [row for row in side.rows[:-1] if row.fit is not None]


def _lossy(row: HybridRow) -> bool:
    return bool(row.fit and row.fit.remarks)


def _counts(first: int, second: int) -> tuple[str, str, str]:
    change = f"{100 * (second - first) / first:+.1f} %".replace("-", "−") if first else ""
    return quantity(first), quantity(second), change if first != second else "none"


def _plain(first: int, second: int) -> tuple[str, str, str]:
    return str(first), str(second), f"{second - first:+d}".replace("-", "−") if first != second else "none"


def _score_lines(first: Choice, second: Choice) -> dict[str, tuple[str, str, str]]:
    if (first.predicted, second.predicted) == (first.measured, second.measured):
        return {"Score": _scores(first.measured, second.measured)}
    return {
        "Score, predicted": _scores(first.predicted, second.predicted),
        "Score, measured": _scores(first.measured, second.measured),
    }


def _scores(first: float | None, second: float | None) -> tuple[str, str, str]:
    if first is None or second is None:
        return *("not yet" if value is None else written(value) for value in (first, second)), ""  # type: ignore[return-value]
    return written(first), written(second), difference(second - first) if first != second else "none"


def _tops(first: Sequence[float], second: Sequence[float]) -> tuple[str, str, str]:
    told = tuple(_top(values) for values in (first, second))
    if not first or not second:
        return told[0], told[1], ""
    change = sum(second) / len(second) - sum(first) / len(first)
    return told[0], told[1], f"{change:+.1f} points".replace("-", "−")


def _top(values: Sequence[float]) -> str:
    if not values:
        return "not trained"
    runs = "" if len(values) == 1 else f", mean of {len(values)} runs"
    return f"{sum(values) / len(values):.1f} %{runs}"
