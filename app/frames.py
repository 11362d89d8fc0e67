"""The engine's values as data frames, as tables and figures want them."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from dery_core.files import digest
from dery_core.jobs import Run
from dery_core.partition import Partition
from dery_core.units import quantity
from dery_core.zoo import LineGraph, Zoo, family


def block_frame(partition: Partition, index: pd.DataFrame) -> pd.DataFrame:
    """One line a block of `partition`; `index` is the similarity table's, one line a cut.

    Columns: model, stage, set, first, last (node names), layers ("first – last"), nodes, params,
    macs, start and share (of the model's size measure, 0 to 1), similarity, anchor, before and
    after (layouts at the two cuts).
    """
    lines: list[dict[str, Any]] = []
    for i, model in enumerate(partition.models):
        cuts = index[index["model"] == model].set_index("cut")
        sizes = cuts.index.to_series() if partition.size == "nodes" else cuts[partition.size]
        whole = sizes.iloc[-1] or 1
        for stage, block in enumerate(partition.blocks[i]):
            first, last = cuts["node"][block.start + 1], cuts["node"][block.end]
            lines.append(
                {
                    "model": model,
                    "stage": stage,
                    "set": partition.sets[i][stage],
                    "first": first,
                    "last": last,
                    "layers": first if first == last else f"{first} – {last}",
                    "nodes": block.end - block.start,
                    "params": int(cuts["params"][block.end] - cuts["params"][block.start]),
                    "macs": int(cuts["macs"][block.end] - cuts["macs"][block.start]),
                    "start": float(sizes[block.start] / whole),
                    "share": float((sizes[block.end] - sizes[block.start]) / whole),
                    "similarity": partition.similarity[i][stage],
                    "anchor": partition.anchors[partition.sets[i][stage]] == block,
                    "before": str(cuts["layout"][block.start]),
                    "after": str(cuts["layout"][block.end]),
                }
            )
    return pd.DataFrame(lines)


def counted(frame: pd.DataFrame) -> Styler:
    """The frame with its params and macs written as everywhere else; sorting goes by the counts."""
    written: Callable[[Any], str] = quantity
    plain = frame.style.format(na_rep="–", precision=1)
    return plain.format(written, subset=["params", "macs"], na_rep="–")


def graph_frame(graph: LineGraph) -> pd.DataFrame:
    """One line a node in order, the head last.

    Columns: name, params, macs, before and after (layouts of what it receives and gives), grid
    (positions along a side of what it receives, the geometric mean of height and width), head.
    """
    afters = [*map(str, graph.layouts[1:]), "logits"]
    return pd.DataFrame(
        {
            "name": node.name,
            "params": node.params,
            "macs": node.macs,
            "before": str(layout),
            "after": after,
            "grid": math.sqrt(layout.height * layout.width),
            "head": node is graph.head,
        }
        for node, layout, after in zip((*graph.nodes, graph.head), graph.layouts, afters, strict=True)
    )


def joined(names: Sequence[str]) -> str:
    """ "a, b and c" """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def model_frame(zoo: Zoo, chosen: Sequence[str]) -> pd.DataFrame:
    """One line a zoo member: name, family, source_task ("not told" where it isn't), params, macs, top1
    (percent), chosen."""
    return pd.DataFrame(
        {
            "name": model.name,
            "family": family(model),
            "source_task": model.trained_on,
            "params": model.params,
            "macs": model.macs,
            "top1": model.top1,
            "chosen": model.name in chosen,
        }
        for model in zoo.models
    )


def run_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """One line a run, damaged ones too.

    Columns: id, subject (the member's name, or the run's name for a hybrid), hybrid (bool), task,
    protocol, recipe (its key), seed, start, state, epoch, epochs, message, params, macs, top1_before and top1
    (percent, NaN until finished).
    """
    return pd.DataFrame([_run_line(run) for run in runs], columns=RUN_COLUMNS)


RUN_COLUMNS = [
    "id", "subject", "hybrid", "task", "protocol", "recipe", "seed", "start", "state", "epoch", "epochs",
    "message", "params", "macs", "top1_before", "top1",
]  # fmt: skip


def _run_line(run: Run) -> dict[str, Any]:
    status = run.status()
    line: dict[str, Any] = {
        "id": run.id,
        "subject": run.id,
        "hybrid": False,
        "state": status.state,
        "epoch": status.epoch,
        "epochs": status.epochs,
        "message": status.message,
    }
    if status.state == "damaged":
        return line
    spec, result = run.spec, run.result()
    line |= {
        "subject": spec.member.name if spec.member else spec.name,
        "hybrid": spec.member is None,
        "task": spec.task,
        "protocol": spec.protocol,
        "recipe": digest(spec.recipe),
        "seed": spec.seed,
        "start": spec.start,
    }
    if result is not None:
        line |= {
            "params": result.params,
            "macs": result.macs,
            "top1_before": result.top1_before,
            "top1": result.top1,
            "start": result.start or spec.start,
        }
    return line
