"""Tasks from names, files and folders, and one sentence for what can't be loaded."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dery_core.data.loading as loading
from dery_core.data import TARGET_TASK, load_task
from dery_core.errors import DeryError

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def save_npz(path: Path, count: int = 20, side: int = 8) -> Path:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    np.savez(path, x=x, y=np.arange(count) % 4)
    return path


def save_folder(root: Path, splits: tuple[str, ...]) -> Path:
    for split in splits:
        for value, label in enumerate(("ant", "bee")):
            folder = root / split / label
            folder.mkdir(parents=True)
            for copy in range(5):
                Image.new("RGB", (40, 30), (value * 200, copy, 7)).save(folder / f"{copy}.png")
    return root


def test_embedded_task_is_kept_in_memory() -> None:
    assert load_task(TARGET_TASK) is load_task(TARGET_TASK)


def test_embedded_task_resizes() -> None:
    task = load_task(TARGET_TASK, image_size=16)
    assert task.train.images.shape[2:] == (16, 16)
    assert torch.equal(task.train.labels, load_task(TARGET_TASK).train.labels)


def test_unknown_name_suggests_a_close_one() -> None:
    with pytest.raises(DeryError, match="did you mean 'digits-clutter'"):
        load_task("digits-cluter")


def test_npz_splits_without_overlap(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "tiny.npz")
    task = load_task(f"npz:{path}")
    assert (len(task.train), len(task.test)) == (16, 4)
    assert task.classes == ("0", "1", "2", "3")
    images = torch.cat([task.train.images, task.test.images]).permute(0, 2, 3, 1).numpy()
    with np.load(path) as arrays:
        assert sorted(i.tobytes() for i in images) == sorted(i.tobytes() for i in arrays["x"])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.zeros((4, 8, 8, 3), np.uint8)}, "'x' and 'y'"),
        ({"x": np.zeros((4, 3, 8, 8), np.uint8), "y": np.arange(4)}, "uint8"),
        ({"x": np.zeros((4, 8, 8, 3), np.float32), "y": np.arange(4)}, "float32"),
        ({"x": np.zeros((4, 8, 8, 3), np.uint8), "y": np.arange(3)}, "4 class numbers"),
        ({"x": np.zeros((4, 8, 8, 3), np.uint8), "y": np.arange(4) - 1}, "from 0 up"),
        ({"x": np.zeros((4, 8, 8, 3), np.uint8), "y": np.full(4, 10**15)}, "'y' holds 1000000000000000"),
        ({"x": np.zeros((4, 0, 8, 3), np.uint8), "y": np.arange(4)}, "uint8"),
    ],
)
def test_npz_that_does_not_fit_gets_a_sentence(
    tmp_path: Path, arrays: dict[str, np.ndarray], said: str
) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(DeryError, match=said):
        load_task(f"npz:{path}")


def test_npz_that_is_missing_or_no_npz_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DeryError, match="does not exist"):
        load_task(f"npz:{tmp_path / 'none.npz'}")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DeryError, match="can't be read"):
        load_task(f"npz:{tmp_path / 'text.npz'}")


def test_folder_with_splits_keeps_them(tmp_path: Path) -> None:
    task = load_task(f"folder:{save_folder(tmp_path, ('train', 'val'))}", image_size=24)
    assert task.classes == ("ant", "bee")
    assert task.train.images.shape == (10, 3, 24, 24)
    red = task.test.images[:, 0].float().mean((1, 2))
    assert torch.equal(red, task.test.labels * 200.0)


def test_folder_without_splits_is_split(tmp_path: Path) -> None:
    task = load_task(f"folder:{save_folder(tmp_path / 'all', ('.',))}")
    assert (len(task.train), len(task.test)) == (8, 2)
    assert task.train.images.shape[2:] == (32, 32)


def test_folder_that_is_missing_or_empty_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DeryError, match="not a folder"):
        load_task(f"folder:{tmp_path / 'none'}")
    with pytest.raises(DeryError, match="can't be loaded"):
        load_task(f"folder:{tmp_path}")


def test_download_that_fails_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("name resolution failed")

    monkeypatch.setattr(loading, "_DATA_FOLDER", tmp_path)
    monkeypatch.setattr("timm.data.create_dataset", refuse)
    with pytest.raises(DeryError, match="connect to the network"):
        load_task("torch/cifar10")


def test_factory_name_that_timm_does_not_know_gets_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_DATA_FOLDER", tmp_path)
    with pytest.raises(DeryError, match="timm's dataset factory"):
        load_task("torch/no_such_set")


def test_image_size_must_be_positive() -> None:
    with pytest.raises(DeryError, match="image size 0"):
        load_task(TARGET_TASK, image_size=0)


def test_real_npz_loads_as_stored() -> None:
    path = SHARED / "data" / "cifar10_4000.npz"
    if not path.exists():
        pytest.skip(f"needs {path.name}")
    task = load_task(f"npz:{path}")
    assert len(task.train) + len(task.test) == 4000
    assert len(task.classes) == 10
    assert task.train.images.shape[1:] == (3, 32, 32)
