"""`load_task`: a task by its name, from the embedded ones, a file, a folder or timm's factory."""

import difflib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dery_core.data.embedded import EMBEDDED, render_task
from dery_core.data.task import ImageSet, Task
from dery_core.errors import DeryError
from dery_core.files import digest, user_path

_TEST_SHARE = 0.2
_MOST_CLASSES = 1_000_000
_DATA_FOLDER = Path("~/.cache/dery/data")


def task_names() -> tuple[str, ...]:
    """Names of the embedded tasks. `load_task` takes `npz:`, `folder:`, `torch/` and `hfds/` names too."""
    return tuple(EMBEDDED)


def load_task(name: str, image_size: int | None = None) -> Task:
    """The task of that name, its images resized to `image_size` a side where one is given.

    - an embedded task (`task_names()`), drawn in a second or two and kept in memory;
    - `npz:FILE` with arrays `x` uint8 (N, H, W, 3) and `y` (N); a fixed fifth is the test set;
    - `folder:DIR` with a folder for every class, below `train` and `val` where these exist;
    - `torch/cifar10`, `hfds/OWNER/NAME` and the like: names of timm's dataset factory, downloaded
      once where the network allows. These and folders are 32 pixels a side unless told otherwise.

    Raises DeryError when the name is unknown, or the data is missing, ill-formed or out of reach.
    """
    if image_size is not None and image_size < 1:
        raise DeryError(f"image size {image_size} is impossible: give 1 or more pixels.")
    return _load(name, image_size)


@lru_cache(maxsize=8)
def _load(name: str, image_size: int | None) -> Task:
    if name in EMBEDDED:
        return _resized(render_task(EMBEDDED[name]), image_size)
    for prefix, loader in _LOADERS.items():
        if name.startswith(prefix):
            return loader(name, image_size)
    close = difflib.get_close_matches(name, EMBEDDED, n=1)
    hint = (
        f"did you mean '{close[0]}'?"
        if close
        else f"choose {', '.join(EMBEDDED)}, npz:FILE, folder:DIR or torch/NAME."
    )
    raise DeryError(f"there is no task '{name}': {hint}")


def _resized(task: Task, size: int | None) -> Task:
    if size is None or task.train.images.shape[2:] == (size, size):
        return task
    train, test = (ImageSet(_resize(s.images, size), s.labels) for s in (task.train, task.test))
    return Task(task.name, task.title, task.classes, train, test)


def _resize(images: Tensor, size: int) -> Tensor:
    parts = [
        F.interpolate(part.float(), size=(size, size), mode="bilinear", align_corners=False, antialias=True)
        for part in images.split(1024)
    ]
    return torch.cat(parts).round().clamp(0, 255).to(torch.uint8)


def _split(images: Tensor, labels: Tensor, key: str) -> tuple[ImageSet, ImageSet]:
    """Train and test set: a draw that depends on the key alone."""
    order = torch.from_numpy(np.random.default_rng(int(digest(key), 16)).permutation(len(labels)))
    cut = max(1, int(_TEST_SHARE * len(labels)))
    test, train = order[:cut], order[cut:]
    return ImageSet(images[train], labels[train]), ImageSet(images[test], labels[test])


def _load_npz(name: str, image_size: int | None) -> Task:
    path = user_path(name.removeprefix("npz:"))
    try:
        with np.load(path, allow_pickle=False) as arrays:
            x, y = arrays["x"], arrays["y"]
    except FileNotFoundError as error:
        raise DeryError(f"{path} does not exist.") from error
    except Exception as error:  # numpy and zipfile raise whatever their parsers meet
        raise DeryError(f"{path} can't be read as arrays 'x' and 'y' ({error}).") from error
    if x.ndim != 4 or x.shape[3] != 3 or x.dtype != np.uint8 or not x.size:
        raise DeryError(f"{path}: 'x' is {x.dtype} {x.shape}; uint8 (N, H, W, 3) is needed.")
    if y.shape != x.shape[:1] or y.dtype.kind not in "iu" or len(y) < 2 or y.min() < 0:
        raise DeryError(f"{path}: 'y' is {y.dtype} {y.shape}; {len(x)} class numbers from 0 up are needed.")
    if y.max() >= _MOST_CLASSES:
        raise DeryError(f"{path}: 'y' holds {y.max()}; class numbers below {_MOST_CLASSES:,} are needed.")
    images = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()
    train, test = _split(images, torch.from_numpy(y.astype(np.int64)), path.name)
    classes = tuple(str(label) for label in range(int(y.max()) + 1))
    return _resized(Task(name, path.stem, classes, train, test), image_size)


def _load_folder(name: str, image_size: int | None) -> Task:
    root = user_path(name.removeprefix("folder:"))
    if not os.path.isdir(root):  # Path.is_dir raises for a name too long
        raise DeryError(f"{root} is not a folder.")
    split = any((root / part).is_dir() for part in ("train", "training"))
    return _from_factory(name, root.name, "", root, image_size, has_test=split)


def _load_named(name: str, image_size: int | None) -> Task:
    root = _DATA_FOLDER.expanduser()
    return _from_factory(name, name.rsplit("/", 1)[-1], name, root, image_size, has_test=True)


_LOADERS: dict[str, Callable[[str, int | None], Task]] = {
    "npz:": _load_npz,
    "folder:": _load_folder,
    "torch/": _load_named,
    "hfds/": _load_named,
}


def _from_factory(
    name: str, title: str, factory_name: str, root: Path, image_size: int | None, has_test: bool
) -> Task:
    size = image_size or 32
    first = _create(name, factory_name, root, "train")
    images, labels = _materialise(first, size, name)
    if has_test:
        second = _create(
            name, factory_name, root, "test" if factory_name.startswith("hfds/") else "validation"
        )
        train, test = ImageSet(images, labels), ImageSet(*_materialise(second, size, name))
    else:
        train, test = _split(images, labels, title)
    return Task(name, title, _class_names(first, int(labels.max()) + 1), train, test)


def _create(name: str, factory_name: str, root: Path, split: str) -> Any:
    from timm.data import create_dataset

    download = factory_name.startswith("torch/")
    try:
        if download:
            root.mkdir(parents=True, exist_ok=True)
        return create_dataset(factory_name, root=str(root), split=split, download=download)
    except ImportError as error:
        raise DeryError(f"'{name}' needs a package that is not installed ({error}).") from error
    except AssertionError as error:
        raise DeryError(f"timm's dataset factory can't make '{name}' ({error}).") from error
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DeryError(
            f"'{name}' can't be loaded ({reason}): "
            + ("connect to the network for its first use." if factory_name else "check the folder.")
        ) from error


def _materialise(dataset: Any, size: int, name: str) -> tuple[Tensor, Tensor]:
    """Every image, scaled so that its shorter side fits and cut to the centre square."""
    images = torch.empty(len(dataset), 3, size, size, dtype=torch.uint8)
    labels = torch.empty(len(dataset), dtype=torch.int64)
    for row in range(len(dataset)):
        try:
            image, label = dataset[row]
        except (OSError, RuntimeError) as error:
            raise DeryError(f"'{name}': image {row} can't be read ({error}).") from error
        images[row] = _square(image, size)
        labels[row] = int(label)
    if len(dataset) < 2:
        raise DeryError(f"'{name}' has {len(dataset)} images: too few to train and test on.")
    return images, labels


def _square(image: Any, size: int) -> Tensor:
    from PIL import ImageOps

    square = ImageOps.fit(image.convert("RGB"), (size, size))
    return torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1)


def _class_names(dataset: Any, count: int) -> tuple[str, ...]:
    """Names from the dataset where it tells them, numbers where it doesn't."""
    listed = getattr(dataset, "classes", None)
    if listed is not None:
        return tuple(str(label) for label in listed)
    indices = getattr(getattr(dataset, "reader", None), "class_to_idx", None) or {}
    names = {index: label for label, index in indices.items()}
    return tuple(str(names.get(label, label)) for label in range(count))
