"""Steps: what is suggested, and which task hybrids are made for."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app import steps
from dery_core.data import TARGET_TASK
from dery_core.jobs import ScoringSpec
from dery_core.partition import Block, Partition
from dery_core.reassembly import Candidates
from dery_core.zoo import Zoo, ZooModel, embedded_zoo, family, zoo_line_graph


def member(name: str, top1: float | None, architecture: str = "resnet10t") -> ZooModel:
    half = (0.5, 0.5, 0.5)
    return ZooModel(name, architecture, "w", "label", (3, 16, 16), half, half, top1=top1)


def zoo(*models: ZooModel) -> Zoo:
    return Zoo(Path("zoo.json"), models)


def test_one_family_is_filled_up_with_the_most_accurate() -> None:
    made = zoo(*(member(name, top1) for name, top1 in zip("abcde", (50, 90, 10, 80, 70), strict=True)))
    assert steps.suggested(made) == ("a", "b", "d", "e")


def test_where_no_accuracy_is_known_the_first_fill_up() -> None:
    made = zoo(*(member(name, None) for name in "abcde"), member("vit", None, "vit_tiny_patch16_224"))
    assert len(steps.suggested(made)) == 4
    assert "vit" in steps.suggested(made)
    assert "a" in steps.suggested(made)


def test_a_small_zoo_is_suggested_whole() -> None:
    assert steps.suggested(zoo(member("a", 1), member("b", 2), member("c", None))) == ("a", "b", "c")


def test_the_embedded_zoo_still_gives_four_families() -> None:
    embedded = embedded_zoo()
    chosen = steps.suggested(embedded)
    assert len({family(embedded.model(name)) for name in chosen}) == len(chosen) == 4


def test_a_cost_that_cannot_be_counted_stays_unknown() -> None:
    made = zoo(member("a", 1, "vit_tiny_patch16_224"))
    task = steps.counting(made)
    assert task is not None
    task.follow()
    assert steps.counting(made) is None
    assert steps.with_costs(made).models[0].macs is None


def test_another_score_of_the_same_blocks_prices_nothing_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toy_zoo_path: Path
) -> None:
    monkeypatch.setenv("DERY_HOME", str(tmp_path))
    monkeypatch.setenv("DERY_ZOO", str(toy_zoo_path))
    source = steps.zoo()
    lengths = {name: len(zoo_line_graph(source, name).nodes) for name in source.names}
    blocks = tuple((Block(name, 0, 0), Block(name, 1, length - 1)) for name, length in lengths.items())
    parts = Partition(
        2, 0.2, "nodes", source.names, blocks, ((0, 1),) * 2, ((1.0, 1.0),) * 2, blocks[0], 4.0, 4.0
    )
    priced, price = [], ScoringSpec.priced

    def counted(*given: Any) -> Candidates:
        priced.append(given)
        return price(*given)

    monkeypatch.setattr(ScoringSpec, "priced", counted)
    first, second = (
        steps.assembly(source.names, parts, score)[0].follow().candidates for score in ("params", "macs")
    )
    assert first is second
    assert len(priced) == 1


@pytest.mark.parametrize(("given", "expected"), [("digits-larger", "digits-larger"), ("", TARGET_TASK)])
def test_the_target_task_comes_from_the_environment(given: str, expected: str) -> None:
    command = [sys.executable, "-c", "from app import steps; print(steps.target_task())"]
    told = subprocess.run(
        command, env={**os.environ, "DERY_TASK": given}, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == expected
