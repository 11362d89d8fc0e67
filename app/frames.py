"""The engine's values as data frames, as tables and figures want them."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler
from scipy.optimize import linear_sum_assignment

from dery_core.files import digest
from dery_core.jobs import Run, TrainingRun
from dery_core.partition import BlockTable, Partition
from dery_core.units import quantity
from dery_core.zoo import LineGraph, Zoo, family


def block_frame(partition: Partition, index: pd.DataFrame) -> pd.DataFrame:
    """One line a block of `partition`; `index` is the similarity table's, one line a cut.

    Columns: model, stage, set, first, last (node names), layers ("first – last"), nodes, params,
    macs, start and share (of the model's size measure, 0 to 1), similarity, anchor, before and
    after (layouts at the two cuts).
    """
    rows = index.groupby("model", sort=False).indices
    blocks = [block for stages in partition.blocks for block in stages]
    begin = np.array([rows[block.model][block.start] for block in blocks])
    end = np.array([rows[block.model][block.end] for block in blocks])
    size = index["cut" if partition.size == "nodes" else partition.size].to_numpy()
    whole = np.maximum(size[[rows[block.model][-1] for block in blocks]], 1)
    node, layout = index["node"].to_numpy(object), index["layout"].astype(str).to_numpy(object)
    params, macs = index["params"].to_numpy(), index["macs"].to_numpy()
    first, last = node[begin + 1], node[end]
    sets = [number for row in partition.sets for number in row]
    return pd.DataFrame(
        {
            "model": [block.model for block in blocks],
            "stage": list(range(partition.k)) * len(partition.models),
            "set": sets,
            "first": first,
            "last": last,
            "layers": [a if a == b else f"{a} – {b}" for a, b in zip(first, last, strict=True)],
            "nodes": end - begin,
            "params": params[end] - params[begin],
            "macs": macs[end] - macs[begin],
            "start": size[begin] / whole,
            "share": (size[end] - size[begin]) / whole,
            "similarity": [value for row in partition.similarity for value in row],
            "anchor": [partition.anchors[at] == block for at, block in zip(sets, blocks, strict=True)],
            "before": layout[begin],
            "after": layout[end],
        }
    )


def bounded(partition: Partition) -> bool:
    """Whether more is known than that no block's similarity can exceed 2."""
    most = 2 * partition.k * len(partition.models)
    return partition.proved or partition.upper_bound < most * (1 - 1e-9)


def moved(partition: Partition) -> int:
    """Number of blocks that are not where most of their stage is: those left over when every stage is
    given one set, so that as many blocks as can be are in the set of their stage."""
    sets = np.array(partition.sets)
    counts = np.stack([(sets == number).sum(axis=0) for number in range(partition.k)])
    return int(counts.sum() - counts[linear_sum_assignment(counts, maximize=True)].sum())


def block_names(partition: Partition, blocks: BlockTable) -> tuple[list[str], list[int]]:
    """What the rows of `blocks` are called, "resnet18 · block 2", and which of them are anchors."""
    stages = {block: stage for row in partition.blocks for stage, block in enumerate(row)}
    names = [f"{block.model} · block {stages[block] + 1}" for block in blocks.blocks]
    rows = enumerate(zip(blocks.blocks, blocks.sets, strict=True))
    return names, [row for row, (block, at) in rows if partition.anchors[at] == block]


def set_frame(blocks: BlockTable) -> pd.DataFrame:
    """One line a set: set, within and across, the mean S of two of its blocks, and of one of its blocks
    and one of another set; NaN where a set has one block only."""
    number = np.array(blocks.sets)
    lines = []
    for each in sorted(set(blocks.sets)):
        mine = number == each
        count = int(mine.sum())
        # Without every block beside itself, which is 2 always.
        inner = blocks.values[np.ix_(mine, mine)].sum() - 2.0 * count
        outer = blocks.values[np.ix_(mine, ~mine)]
        lines.append(
            {
                "set": each,
                "within": inner / (count * (count - 1)) if count > 1 else math.nan,
                "across": outer.mean() if outer.size else math.nan,
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

    Columns: id, kind (training or scoring), subject (the member's name, the hybrid's, or what is scored),
    hybrid (bool), task, protocol, recipe (its key), seed, start, state, done and total (in `unit`: epochs
    or hybrids; total is 0 where nobody knows yet), message, params, macs, top1_before and top1 (percent,
    NaN until finished). What is a training's alone is None or NaN in a scoring.
    """
    return pd.DataFrame([_run_line(run) for run in runs], columns=RUN_COLUMNS)


RUN_COLUMNS = [
    "id", "kind", "subject", "hybrid", "task", "protocol", "recipe", "seed", "start", "state", "done",
    "total", "unit", "message", "params", "macs", "top1_before", "top1",
]  # fmt: skip


def _run_line(run: Run) -> dict[str, Any]:
    status = run.status()
    line: dict[str, Any] = {
        "id": run.id,
        "kind": run.kind,
        "subject": run.id,
        "hybrid": False,
        "state": status.state,
        "done": status.done,
        "total": status.total,
        "unit": run.unit,
        "message": status.message,
    }
    if status.state == "damaged":
        return line
    line |= {"subject": run.title, "task": run.spec.task}
    return (line | _training(run)) if isinstance(run, TrainingRun) else line


def _training(run: TrainingRun) -> dict[str, Any]:
    spec, result = run.spec, run.result()
    line: dict[str, Any] = {
        "hybrid": spec.member is None,
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
