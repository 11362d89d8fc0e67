"""What a similarity table needs of one model, kept on disk so that it is computed once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from dery_core.errors import DeryError, first_line
from dery_core.files import atomic_path, digest
from dery_core.similarity.comparison import Comparison
from dery_core.similarity.features import Features, Tick, equivalent, node_features
from dery_core.similarity.matrix import minibatches
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo, zoo_line_graph

_KIND, _VERSION = "features", 2
_COLUMNS = ("nodes", "layouts", "params", "macs")


@dataclass(frozen=True)
class StoredFeatures:
    """A float32 matrix in a safetensors file; only the rows asked for are read."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype = np.dtype(np.float32)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        # Opened each time: pages that stay mapped would count as the process's memory.
        try:
            with safe_open(self.path, "numpy") as file:
                return np.asarray(file.get_slice(self.name)[slice(*rows.indices(self.shape[0]))])
        except (OSError, SafetensorError) as error:
            raise DeryError(f"{self.path} can't be read any more: compare the networks again.") from error


@dataclass(frozen=True, eq=False)
class CutRecord:
    """One model at its L + 1 cuts: the node that ends there, the layout, the size so far; and the
    features (n, d) at cuts 1 to L. Cut 0, the pictures, is every model's and isn't kept here."""

    nodes: tuple[str, ...]
    layouts: tuple[str, ...]
    params: tuple[int, ...]
    macs: tuple[int, ...]
    features: tuple[StoredFeatures, ...]

    @classmethod
    def load(cls, path: Path, images: int) -> Self | None:
        """The record of that many images; None when there is none or it is damaged."""
        found = _stored(path, images)
        if found is None:
            return None
        columns, features = found
        cuts = len(features) + 1
        if any(len(columns.get(name, ())) != cuts for name in _COLUMNS):
            return None
        return cls(**{name: tuple(columns[name]) for name in _COLUMNS}, features=features)


def _save(path: Path, meta: Mapping[str, Any], features: list[Features]) -> None:
    tensors = {str(i): np.ascontiguousarray(feature) for i, feature in enumerate(features)}
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, {"kind": _KIND, "record": json.dumps(meta)})
        except SafetensorError as error:  # a full disk, as the folder could be written
            raise OSError(first_line(error)) from error


def _stored(path: Path, images: int) -> tuple[dict[str, Any], tuple[StoredFeatures, ...]] | None:
    """What `_save` wrote of that many images, the features still on disk; None when it isn't there.

    A crash or a full disk may have damaged the file: that counts as none, and computing mends it.
    """
    try:
        with safe_open(path, "numpy") as file:
            meta = json.loads((file.metadata() or {})["record"])
            shapes = [tuple(file.get_slice(str(i)).get_shape()) for i in range(len(file.keys()))]
    except Exception:  # safetensors raises its own kinds, and one for each thing that may be wrong
        return None
    if not isinstance(meta, dict) or any(len(shape) != 2 or shape[0] != images for shape in shapes):
        return None
    return meta, tuple(StoredFeatures(path, str(i), shape) for i, shape in enumerate(shapes))


def record_key(zoo: Zoo, name: str, probe_hash: str, comparison: Comparison) -> str:
    """Key of all that a model's features depend on: weights, architecture, preprocessing, probe, and
    what of the comparison matters to them."""
    model = zoo.model(name)
    settings = (model.input_size, model.mean, model.std, json.dumps(model.model_kwargs, sort_keys=True))
    weights = (zoo.weights_key(name), model.architecture)
    return digest(_KIND, _VERSION, *_pooling(comparison), *weights, *settings, probe_hash)


def _pooling(comparison: Comparison) -> tuple[object, ...]:
    # Pooled features are the same whatever is done with them; flattened ones are factors of a batch.
    flat = ("flatten", comparison.batch, comparison.definition.small_directions)
    return ("mean",) if comparison.pooling == "mean" else flat


def stored_record(key: str, images: int, workspace: Workspace) -> CutRecord | None:
    """The record with that key, None when it must be computed."""
    return CutRecord.load(_path(workspace, key), images)


def computed_record(
    zoo: Zoo,
    name: str,
    images: Tensor,
    key: str,
    workspace: Workspace,
    comparison: Comparison,
    memory: int,
    tick: Tick,
) -> CutRecord:
    """The model's record, made by running it on the images, and kept in the workspace."""
    graph = zoo_line_graph(zoo, name)
    meta = {
        "nodes": ("input", *(node.name for node in graph.nodes)),
        "layouts": tuple(map(str, graph.layouts)),
        "params": tuple(graph.cumulative("params")),
        "macs": tuple(graph.cumulative("macs")),
    }
    features = node_features(graph, zoo.model(name), images, comparison=comparison, memory=memory, tick=tick)
    path = _path(workspace, key)
    _save(path, meta, features)
    record = CutRecord.load(path, len(images))
    if record is None:
        raise DeryError(f"{path} was written but can't be read back: check the disk it lies on.")
    return record


def pixel_record(
    images: Tensor, probe_hash: str, workspace: Workspace, comparison: Comparison
) -> StoredFeatures:
    """The pictures themselves as features, every model's cut 0; of large ones what stands for them."""
    exact = comparison.definition.small_directions
    path = _path(workspace, digest(_KIND, _VERSION, "pixels", comparison.batch, exact, probe_hash))
    found = _stored(path, len(images))
    if found is None:
        parts = minibatches(len(images), comparison.batch)
        longest = max(len(images[part]) for part in parts)
        features = [equivalent(images[part].flatten(1), longest, exact) for part in parts]
        _save(path, {}, [np.concatenate(features)])
        found = _stored(path, len(images))
    if found is None:
        raise DeryError(f"{path} was written but can't be read back: check the disk it lies on.")
    return found[1][0]


def _path(workspace: Workspace, key: str) -> Path:
    return workspace.features / f"{key}.safetensors"
