"""The embedded tasks: shapes, labels, and the same pictures each time."""

from dataclasses import replace

import pytest
import torch

from dery_core.data import SOURCE_TASKS, TARGET_TASK, task_names
from dery_core.data.embedded import EMBEDDED, fresh_pictures, render_task

NAMES = sorted(EMBEDDED)


@pytest.mark.parametrize("name", NAMES)
def test_small_render_has_every_class_and_the_sizes_asked_for(name: str) -> None:
    task = render_task(replace(EMBEDDED[name], train_count=300, test_count=200))
    assert task.train.images.shape == (300, 3, 32, 32)
    assert task.test.images.dtype == torch.uint8
    assert set(task.train.labels.tolist()) == set(range(len(task.classes)))


@pytest.mark.parametrize("name", NAMES)
def test_render_repeats_bit_for_bit(name: str) -> None:
    small = replace(EMBEDDED[name], train_count=40, test_count=20)
    first, second = render_task(small), render_task(small)
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.test.labels, second.test.labels)


def test_render_leaves_global_randomness_alone() -> None:
    before = torch.get_rng_state()
    render_task(replace(EMBEDDED[TARGET_TASK], train_count=20, test_count=20))
    assert torch.equal(torch.get_rng_state(), before)


def test_fresh_pictures_differ_by_seed_and_from_the_train_set() -> None:
    task = EMBEDDED[SOURCE_TASKS[0]]
    one, two = fresh_pictures(task, 30, seed=1), fresh_pictures(task, 30, seed=2)
    fixed = render_task(replace(task, train_count=30, test_count=20)).train
    assert not torch.equal(one.images, two.images)
    assert not torch.equal(one.images, fixed.images)


def test_target_is_no_source() -> None:
    assert TARGET_TASK in task_names()
    assert TARGET_TASK not in SOURCE_TASKS
    assert len(SOURCE_TASKS) >= 2
