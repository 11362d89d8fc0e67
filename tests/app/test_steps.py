"""Steps: what is suggested, and which task hybrids are made for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app import steps
from dery_core.data import TARGET_TASK
from dery_core.zoo import Zoo, ZooModel, embedded_zoo, family


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


@pytest.mark.parametrize(("given", "expected"), [("digits-larger", "digits-larger"), ("", TARGET_TASK)])
def test_the_target_task_comes_from_the_environment(given: str, expected: str) -> None:
    command = [sys.executable, "-c", "from app import steps; print(steps.target_task())"]
    told = subprocess.run(
        command, env={**os.environ, "DERY_TASK": given}, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == expected
