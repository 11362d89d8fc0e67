"""A zoo of two tiny networks and a tiny task on disk, for tests that train or start processes."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from dery_core.files import sha256
from dery_core.zoo import ZooModel

TOYS: dict[str, tuple[str, dict[str, Any]]] = {
    "toy_resnet": ("resnet10t", {"channels": [8, 8, 16, 16], "stem_width": 8}),
    "toy_vit": (
        "vit_tiny_patch16_224",
        {
            "img_size": 16,
            "patch_size": 4,
            "embed_dim": 16,
            "depth": 3,
            "num_heads": 2,
            "drop_path_rate": 0.2,
            "proj_drop_rate": 0.1,
        },
    ),
}


@pytest.fixture(scope="session", autouse=True)
def _no_workspace_of_ones_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that the person who runs the tests keeps, networks of their own above all, is seen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERY_HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("DERY_ZOO", "DERY_TASK"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _main_module() -> Iterator[None]:
    """Streamlit's AppTest leaves its script behind as the main module, which processes begun by a later
    test would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def toy_zoo_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Zoo file of a residual CNN and a vision transformer on 16×16 images, random weights."""
    folder = tmp_path_factory.mktemp("toy_zoo")
    models: list[dict[str, Any]] = []
    for name, (architecture, kwargs) in TOYS.items():
        with torch.random.fork_rng():
            torch.manual_seed(len(models))
            module = timm.create_model(architecture, num_classes=4, **kwargs)
            module(torch.randn(32, 3, 16, 16))  # gives batch normalisation statistics worth keeping
        weights = folder / f"{name}.safetensors"
        save_file(module.state_dict(), weights)
        record = ZooModel(
            name=name,
            architecture=architecture,
            weights=weights.name,
            source_task="none",
            input_size=(3, 16, 16),
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            model_kwargs={**kwargs, "num_classes": 4},
            sha256=sha256(weights),
        )
        models.append(record.to_dict())
    path = folder / "zoo.json"
    path.write_text(json.dumps({"schema_version": 1, "models": models}))
    return path


@pytest.fixture(scope="session")
def toy_task(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a task of 3 classes: noise whose brightness in one quadrant tells the class."""
    random = np.random.default_rng(0)
    labels = np.arange(150) % 3
    images = random.integers(0, 160, (150, 16, 16, 3))
    for image, label in zip(images, labels, strict=True):
        image[8 * (label // 2) :, 8 * (label % 2) :][:8, :8] += 80
    path = tmp_path_factory.mktemp("toy_task") / "quadrants.npz"
    np.savez(path, x=images.astype(np.uint8), y=labels)
    return f"npz:{path}"
