"""Probes: a repeatable draw from the train set."""

from pathlib import Path

import pytest
import torch

from dery_core.data import TARGET_TASK, Probe, fitted, load_task, probe_batch, probe_images
from dery_core.errors import DeryError


def test_probe_repeats_and_its_seed_matters() -> None:
    first = probe_images(Probe(TARGET_TASK, 16))
    assert torch.equal(first, probe_images(Probe(TARGET_TASK, 16)))
    assert not torch.equal(first, probe_images(Probe(TARGET_TASK, 16, seed=1)))


def test_probe_images_and_labels_belong_to_train_and_are_distinct() -> None:
    train = load_task(TARGET_TASK).train
    batch = probe_batch(Probe(TARGET_TASK, len(train)))
    # A probe of everything is the train set, reordered.
    assert torch.equal(batch.labels.bincount(), train.labels.bincount())
    assert batch.images.long().sum() == train.images.long().sum()
    assert torch.equal(probe_images(Probe(TARGET_TASK, 8)), batch.images[:8])


def test_probe_larger_than_train_gets_a_sentence() -> None:
    with pytest.raises(DeryError, match="take at most 2000"):
        probe_images(Probe(TARGET_TASK, 2001))


def test_probe_of_one_image_gets_a_sentence() -> None:
    with pytest.raises(DeryError, match="2 or more"):
        Probe(TARGET_TASK, 1)


def test_probe_saves_and_loads(tmp_path: Path) -> None:
    probe = Probe(TARGET_TASK, 32, seed=7)
    probe.save(tmp_path / "probe.json")
    assert Probe.load(tmp_path / "probe.json") == probe


def test_a_probe_is_fitted_to_a_task_with_fewer_images() -> None:
    most = len(load_task(TARGET_TASK).train)
    assert fitted(Probe(TARGET_TASK, most + 1, seed=3)) == Probe(TARGET_TASK, most, seed=3)
    assert fitted(Probe(TARGET_TASK, 8)) == Probe(TARGET_TASK, 8)
