"""The zoo that ships: what the app promises of it."""

import json
from collections import defaultdict

import pytest

from dery_core.data import SOURCE_TASKS, TARGET_TASK, load_task
from dery_core.zoo import Zoo, embedded_zoo, family
from dery_core.zoo.catalogue import CATALOGUE
from dery_core.zoo.training import _is_current, top1


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return embedded_zoo()


def test_weights_are_whole_and_small(zoo: Zoo) -> None:
    zoo.check()
    assert sum(path.stat().st_size for path in zoo.path.parent.iterdir()) <= 20e6


def test_there_are_enough_members_families_and_tasks(zoo: Zoo) -> None:
    assert len(zoo.models) >= 12
    families = {family(model) for model in zoo.models}
    assert len(families) >= 7
    assert {"resnet", "efficientnet", "vision_transformer", "swin_transformer", "mlp_mixer"} <= families
    assert {model.source_task for model in zoo.models} == set(SOURCE_TASKS)
    assert TARGET_TASK not in SOURCE_TASKS


def test_two_architectures_are_present_in_both_tasks(zoo: Zoo) -> None:
    tasks = defaultdict(set)
    for model in zoo.models:
        settings = {k: v for k, v in model.model_kwargs.items() if k != "num_classes"}
        tasks[model.architecture, json.dumps(settings, sort_keys=True)].add(model.source_task)
    assert sum(len(seen) == len(SOURCE_TASKS) for seen in tasks.values()) >= 2


def test_accuracies_teach_something(zoo: Zoo) -> None:
    top1 = [model.top1 or 0.0 for model in zoo.models]
    assert max(top1) <= 97
    # Twice the chance of the task with the fewest classes: no member is a coin toss.
    assert min(top1) > 2 * 100 / 9
    spread = {task: [m.top1 or 0.0 for m in zoo.models if m.source_task == task] for task in SOURCE_TASKS}
    assert max(max(scores) - min(scores) for scores in spread.values()) >= 10


def test_every_member_was_made_as_the_catalogue_says(zoo: Zoo) -> None:
    assert zoo.names == tuple(member.name for member in CATALOGUE)
    for member in CATALOGUE:
        assert _is_current(member, zoo.model(member.name), zoo.path.parent), member.name


def test_every_member_builds_and_agrees_with_its_record(zoo: Zoo) -> None:
    for model in zoo.models:
        module = zoo.build(model.name)
        assert sum(p.numel() for p in module.parameters()) == model.params


def test_recorded_accuracy_is_that_of_the_file_that_ships(zoo: Zoo) -> None:
    model = zoo.model("resnet_s.clutter")
    measured = top1(zoo.build(model.name), load_task(model.source_task).test, model)
    # Another processor may round otherwise and turn a picture or two of 1500.
    assert measured == pytest.approx(model.top1, abs=0.3)
