"""Frames: the engine's values line by line."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from app.frames import RUN_COLUMNS, block_frame, block_names, counted, joined, moved, run_frame, set_frame
from dery_core.jobs import RunStatus, ScoringSpec, create_run
from dery_core.partition import Block, BlockTable, Partition
from dery_core.training import Result, RunSpec
from dery_core.workspace import Workspace
from dery_core.zoo import ZooModel

INDEX = pd.DataFrame(
    {
        "model": ["a"] * 4 + ["b"] * 3,
        "cut": [0, 1, 2, 3, 0, 1, 2],
        "node": ["input", "stem", "one", "two", "input", "p", "q"],
        "layout": ["image", "l1", "l2", "l3", "image", "m1", "m2"],
        "params": [0, 10, 30, 40, 0, 1, 4],
        "macs": [0, 100, 200, 400, 0, 5, 10],
    }
)
PARTITION = Partition(
    k=2,
    epsilon=0.2,
    size="params",
    models=("a", "b"),
    blocks=((Block("a", 0, 1), Block("a", 2, 2)), (Block("b", 0, 0), Block("b", 1, 1))),
    sets=((0, 1), (0, 1)),
    similarity=((2.0, 1.5), (1.25, 2.0)),
    anchors=(Block("a", 0, 1), Block("b", 1, 1)),
    objective=6.75,
    upper_bound=6.75,
)


def test_a_block_has_the_cost_between_its_cuts() -> None:
    frame = block_frame(PARTITION, INDEX)
    assert list(frame["params"]) == [30, 10, 1, 3]
    assert list(frame["macs"]) == [200, 200, 5, 5]
    assert list(frame["nodes"]) == [2, 1, 1, 1]


def test_a_block_is_named_by_its_nodes_and_layouts() -> None:
    frame = block_frame(PARTITION, INDEX)
    assert list(frame["layers"]) == ["stem – one", "two", "p", "q"]
    assert list(frame["before"]) == ["image", "l2", "image", "m1"]
    assert list(frame["after"]) == ["l2", "l3", "m1", "m2"]


def test_the_shares_of_a_model_fill_it() -> None:
    frame = block_frame(PARTITION, INDEX)
    assert list(frame["start"]) == [0, 0.75, 0, 0.25]
    assert list(frame["share"]) == [0.75, 0.25, 0.25, 0.75]


def test_anchors_are_marked_once_a_set() -> None:
    frame = block_frame(PARTITION, INDEX)
    assert list(frame["anchor"]) == [True, False, False, True]


def test_a_block_stands_in_its_own_set_whatever_its_stage() -> None:
    free = dataclasses.replace(
        PARTITION, variant="free", sets=((1, 0), (0, 0)), anchors=PARTITION.anchors[::-1]
    )
    frame = block_frame(free, INDEX)
    assert list(frame["set"]) == [1, 0, 0, 0]
    assert list(frame["anchor"]) == [True, False, False, True]


@pytest.mark.parametrize(
    ("sets", "count"),
    [
        (((0, 1), (0, 1)), 0),
        # Sets may be numbered in any order.
        (((1, 0), (1, 0)), 0),
        (((0, 1), (0, 0)), 1),
        (((0, 0), (0, 0)), 2),
    ],
)
def test_moved_blocks_are_those_outside_the_set_of_their_stage(sets: Any, count: int) -> None:
    assert moved(dataclasses.replace(PARTITION, sets=sets)) == count


def test_rows_of_the_block_table_are_named_by_model_and_stage() -> None:
    blocks = tuple(block for row in PARTITION.blocks for block in row)
    table = BlockTable(np.zeros((4, 4)), blocks, (0, 1, 0, 1))
    names, anchors = block_names(PARTITION, table)
    assert names == ["a · block 1", "a · block 2", "b · block 1", "b · block 2"]
    assert anchors == [0, 3]


def test_a_set_is_compared_within_without_the_diagonal_and_across() -> None:
    values = np.array([[2, 1.5, 0.2], [1.5, 2, 0.4], [0.2, 0.4, 2]])
    blocks = tuple(block for row in PARTITION.blocks for block in row)[:3]
    frame = set_frame(BlockTable(values, blocks, (0, 0, 1)))
    assert list(frame["within"])[0] == pytest.approx(1.5)
    assert np.isnan(list(frame["within"])[1]), "one block has no other to be compared with"
    assert list(frame["across"]) == pytest.approx([0.3, 0.3])


def test_no_runs_make_an_empty_frame_with_all_columns() -> None:
    assert list(run_frame([]).columns) == RUN_COLUMNS


def test_counts_in_a_table_are_written_as_everywhere_and_unknown_ones_as_a_dash() -> None:
    frame = pd.DataFrame({"params": [1_234_567, None], "macs": [9e9, 1.0]}).astype({"params": "Int64"})
    written = counted(frame).to_html()
    assert ">1.23 M<" in written
    assert ">9 G<" in written
    assert ">–<" in written


def test_names_are_joined_as_people_do() -> None:
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize(("used", "shown"), [("random", "random"), (None, "closed-form")])
def test_a_finished_run_stands_with_the_start_it_really_had(used: Any, shown: str, tmp_path: Path) -> None:
    """Comparisons are among runs of one start; results of an earlier version don't say theirs."""
    member = ZooModel("m", "resnet18", "none", "none", (3, 8, 8), (0.5,) * 3, (0.5,) * 3)
    spec = RunSpec("run", "zoo", "task", member=member, start="closed-form")
    run = create_run(Workspace(tmp_path), spec)
    Result(10.0, 20.0, 5, 2, 7, 1, 3.0, ("a", "b"), used).save(run.path / "result.json")
    RunStatus("finished", 1, 0.0, 0.0, 1).save(run.path / "status.json")
    assert list(run_frame([run])["start"]) == [shown]


def test_a_scoring_stands_beside_trainings_and_has_no_accuracy(tmp_path: Path) -> None:
    run = create_run(Workspace(tmp_path), ScoringSpec("zoo", "task", PARTITION, "leep"))
    RunStatus("cancelled", 4, 0.0, 0.0, 3).save(run.path / "status.json")
    [line] = run_frame([run]).to_dict("records")
    assert (line["kind"], line["subject"]) == ("scoring", "LEEP, 2 networks in 2 blocks")
    assert (line["done"], line["total"], line["unit"]) == (3, 4, "hybrids")
    assert np.isnan(line["top1"])
    assert pd.isna(line["protocol"])
