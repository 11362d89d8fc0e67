from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dery_core.errors import DeryError
from dery_core.training.checkpoint import LAST, PREVIOUS, Checkpoint, load_checkpoint, save_checkpoint
from dery_core.training.result import EpochMetrics


def checkpoint(epoch: int) -> Checkpoint:
    history = tuple(EpochMetrics(e, 10.0 * e, e or None, 1e-3, 0.5) for e in range(epoch + 1))
    return Checkpoint("key", history, {"w": torch.full((100,), float(epoch))}, {"state": {0: epoch}})


def test_a_folder_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, "key") == (None, "")


def test_the_last_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    for epoch in range(3):
        save_checkpoint(checkpoint(epoch), tmp_path)
    loaded, said = load_checkpoint(tmp_path, "key")
    assert loaded is not None
    assert said == ""
    assert (loaded.epoch, loaded.history, loaded.optimiser) == (2, checkpoint(2).history, {"state": {0: 2}})
    assert torch.equal(loaded.tensors["w"], torch.full((100,), 2.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([LAST, PREVIOUS])


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut_in_half, flip_a_bit, empty])
def test_the_one_before_replaces_a_damaged_checkpoint_and_it_is_said(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    for epoch in range(3):
        save_checkpoint(checkpoint(epoch), tmp_path)
    damage(tmp_path / LAST)
    loaded, said = load_checkpoint(tmp_path, "key")
    assert loaded is not None
    assert loaded.epoch == 1
    assert f"{LAST} is damaged" in said
    assert "The one before it is used" in said
    # The next save must not put the damaged file in the good one's place.
    save_checkpoint(checkpoint(2), tmp_path)
    cut_in_half(tmp_path / LAST)
    assert load_checkpoint(tmp_path, "key")[0] is not None


def test_a_damaged_checkpoint_without_another_is_refused(tmp_path: Path) -> None:
    save_checkpoint(checkpoint(0), tmp_path)
    cut_in_half(tmp_path / LAST)
    with pytest.raises(DeryError, match=f"{LAST} is damaged: delete it to train from the start"):
        load_checkpoint(tmp_path, "key")


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    save_checkpoint(checkpoint(0), tmp_path)
    with pytest.raises(DeryError, match="belongs to another run"):
        load_checkpoint(tmp_path, "other")


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    save_checkpoint(Checkpoint("key", checkpoint(0).history, {}, {"path": Path("/")}), tmp_path)
    with pytest.raises(DeryError, match="damaged"):
        load_checkpoint(tmp_path, "key")


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(checkpoint(0), tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("dery_core.training.checkpoint.os.replace", full)
        with pytest.raises(DeryError, match="No space left on device"):
            save_checkpoint(checkpoint(1), tmp_path)
    loaded, _ = load_checkpoint(tmp_path, "key")
    assert loaded is not None
    assert loaded.epoch == 0
