"""Two hybrids beside each other: what differs, and what was really trained of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from app import steps
from app.components.compare_hybrids import Side, figures, spoken_difference, trained_as
from dery_core.jobs import RunStatus, create_run, list_runs
from dery_core.partition import Block
from dery_core.reassembly import Choice, Fit, HybridRow, HybridSpec
from dery_core.training import Result, RunSpec
from dery_core.workspace import Workspace
from dery_core.zoo import Layout, ZooModel

SHAPE = Layout("map", 8, 4, 4)
SIDES = ((1.0, 1.0), (1.0, 1.0))
SEAM = Fit(0, SHAPE, SHAPE, (1.0, 1.0), SIDES, 0, 0, 0, False, 50, 500, ("detail is lost",))
MODEL = ZooModel("a", "resnet18", "a.safetensors", "none", (3, 8, 8), (0.5,) * 3, (0.5,) * 3, sha256="1" * 64)
SPEC = HybridSpec((Block("a", 0, 1), Block("a", 3, 4)), (MODEL,), 10, params=1_000, macs=20_000)


def side(title: str, *models: str, seam: bool = True, **scores: float) -> Side:
    rows = [
        HybridRow(stage, name, "x", "y", 1, 400, 9_000, "", *((50, 500) if seam and not stage else (0, 0)))
        for stage, name in enumerate(models)
    ]
    rows[0] = replace(rows[0], fit=SEAM if seam else None)
    choice = Choice((0,) * len(models), 850, 18_500, **{"predicted": 3.0, **scores})
    return Side(title, choice, rows, {})


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (("a", "b"), ("a", "b"), "same hybrid"),
        (("a", "b"), ("a", "c"), "**1 of 2 blocks** differs: block 2 (b or c)."),
        (("a", "b"), ("b", "c"), "**All 2 blocks** differ: block 1 (a or b) and block 2 (b or c)."),
    ],
)
def test_blocks_that_differ_are_named(first: tuple[str, ...], second: tuple[str, ...], said: str) -> None:
    assert said in spoken_difference(first, second)


def test_figures_tell_how_much_more_the_second_has() -> None:
    first, second = side("One", "a", "b", measured=2.5), side("Two", "a", "a", seam=False)
    second = replace(second, choice=replace(second.choice, params=1_700, predicted=3.5))
    table = figures(first, second).set_index(" ")
    assert list(table.columns) == ["One", "Two", "Difference"]
    assert list(table.loc["Parameters"]) == ["850", "1.7 k", "+100.0 %"]
    assert list(table.loc["MACs"])[2] == "none"
    assert list(table.loc["Score, predicted"]) == ["3", "3.5", "+0.5"]
    assert list(table.loc["Score, measured"]) == ["2.5", "not yet", ""]
    assert list(table.loc["Seams with a loss"]) == ["1", "0", "−1"]
    assert list(table.loc["Source networks"]) == ["2", "1", "−1"]


def test_a_score_that_is_known_stands_once() -> None:
    table = figures(side("One", "a", "b", measured=3.0), side("Two", "a", "b", measured=3.0)).set_index(" ")
    assert list(table.loc["Score"]) == ["3", "3", "none"]
    assert "Score, predicted" not in table.index


def test_accuracies_of_several_runs_are_averaged_and_one_is_never_compared_with_none() -> None:
    first = replace(side("One", "a", "b"), trained={"full": [80.0, 82.0], "frozen": [60.0]})
    second = replace(side("Two", "a", "b"), trained={"full": [84.0]})
    table = figures(first, second).set_index(" ")
    assert list(table.loc["Top-1 after full tuning"]) == ["81.0 %, mean of 2 runs", "84.0 %", "+3.0 points"]
    assert list(table.loc["Top-1 after frozen tuning"]) == ["60.0 %", "not trained", ""]


def finished(workspace: Workspace, hybrid: HybridSpec, top1: float, task: str = steps.TARGET_TASK) -> None:
    run = create_run(workspace, RunSpec("run", "zoo", task, hybrid=hybrid))
    Result(10.0, top1, 5, 2, 7, 1, 3.0, ("a", "b"), "random").save(run.path / "result.json")
    RunStatus("finished", 1, 0.0, 0.0, 1).save(run.path / "status.json")


def test_only_finished_runs_of_this_very_hybrid_on_the_target_task_count(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    finished(workspace, replace(SPEC, score=7.0), 80.0)
    finished(workspace, replace(SPEC, blocks=(Block("a", 0, 1), Block("a", 2, 4))), 81.0)
    finished(workspace, replace(SPEC, models=(replace(MODEL, sha256="2" * 64),)), 82.0)
    finished(workspace, SPEC, 83.0, task="another")
    create_run(workspace, RunSpec("run", "zoo", steps.TARGET_TASK, hybrid=SPEC))
    assert trained_as(SPEC, list_runs(workspace)) == {"frozen": [80.0]}
