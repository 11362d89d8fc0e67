"""What a similarity table needs of one model, kept on disk so that it is computed once."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dery_core.errors import DeryError
from dery_core.files import atomic_path, digest
from dery_core.similarity.comparison import Comparison
from dery_core.similarity.features import Features, Keep, Tick, equivalent, make_features
from dery_core.similarity.matrix import minibatches
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo, zoo_line_graph

_KIND, _VERSION = "features", 2
_COLUMNS = ("nodes", "layouts", "params", "macs")
_ENTRY = 192
"""Bytes that suffice to say where one matrix lies, whatever its size."""


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


class _FeatureFile:
    """A safetensors file of `count` feature matrices (n, d) that takes their rows as they come, so
    that nothing is held. What says where each lies comes first in such a file but is known last:
    room is left for it."""

    def __init__(self, file: BinaryIO, images: int, count: int, meta: Mapping[str, Any]) -> None:
        self._file, self._images = file, images
        self._header: dict[str, Any] = {"__metadata__": {"kind": _KIND, "record": json.dumps(meta)}}
        self._room = len(json.dumps(self._header)) + _ENTRY * count
        self._room += -self._room % 8  # numbers are aligned
        self._end = 0

    def keep(self, index: int, rows: slice, values: Features) -> None:
        """Write rows of matrix `index`; again in the place of what was there."""
        size = 4 * values.shape[1]
        if str(index) not in self._header:
            begin, self._end = self._end, self._end + size * self._images
            shape, offsets = [self._images, values.shape[1]], [begin, self._end]
            self._header[str(index)] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        begin = self._header[str(index)]["data_offsets"][0]
        self._file.seek(8 + self._room + begin + size * rows.start)
        self._file.write(np.ascontiguousarray(values, "<f4").data)

    def finish(self) -> None:
        self._file.seek(0)
        self._file.write(self._room.to_bytes(8, "little"))
        self._file.write(json.dumps(self._header).encode().ljust(self._room))


@contextmanager
def _writing(path: Path, images: int, count: int, meta: Mapping[str, Any]) -> Iterator[Keep]:
    """What takes `count` feature matrices of that many images; the file is there once all are in it."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        features = _FeatureFile(file, images, count, meta)
        yield features.keep
        features.finish()


def _stored(path: Path, images: int) -> tuple[dict[str, Any], tuple[StoredFeatures, ...]] | None:
    """What `_writing` wrote of that many images, the features still on disk; None when it isn't there.

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
    """The model's record, made by running it on the images, and kept in the workspace: features go to
    disk as they are made, which takes up to `memory` bytes beside the network and the images."""
    graph = zoo_line_graph(zoo, name)
    meta = {
        "nodes": ("input", *(node.name for node in graph.nodes)),
        "layouts": tuple(map(str, graph.layouts)),
        "params": tuple(graph.cumulative("params")),
        "macs": tuple(graph.cumulative("macs")),
    }
    path = _path(workspace, key)
    with _writing(path, len(images), len(graph.nodes), meta) as keep:
        make_features(graph, zoo.model(name), images, keep, comparison=comparison, memory=memory, tick=tick)
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
        with _writing(path, len(images), 1, {}) as keep:
            for part in parts:
                keep(0, part, equivalent(images[part].flatten(1), longest, exact))
        found = _stored(path, len(images))
    if found is None:
        raise DeryError(f"{path} was written but can't be read back: check the disk it lies on.")
    return found[1][0]


def _path(workspace: Workspace, key: str) -> Path:
    return workspace.features / f"{key}.safetensors"
