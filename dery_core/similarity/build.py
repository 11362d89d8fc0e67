"""From a zoo and a probe to a `SimilarityTable`, computing only what isn't on disk yet."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from dery_core.data import Probe, probe_images
from dery_core.errors import DeryError
from dery_core.files import digest
from dery_core.progress import ProgressFn, Ticker, silent
from dery_core.similarity.cache import (
    CutRecord,
    StoredFeatures,
    computed_record,
    pixel_record,
    record_key,
    stored_record,
)
from dery_core.similarity.comparison import Comparison
from dery_core.similarity.gram import Floats
from dery_core.similarity.matrix import MEMORY, similarity_matrix
from dery_core.similarity.table import SimilarityTable
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo

_PLAIN = Comparison()


def similarity_table(
    zoo: Zoo,
    names: Sequence[str],
    probe: Probe,
    workspace: Workspace,
    comparison: Comparison = _PLAIN,
    memory: int = MEMORY,
    report: ProgressFn = silent,
) -> SimilarityTable:
    """How similar all cuts of the named models are on the probe's images, as `comparison` says.

    Each model's features are kept in the workspace, so a model added to a table costs one pass over
    that model, and an interrupted table goes on where it stopped. The table is kept as well: asked
    for again, it is read and no network is built. `memory` bounds the bytes taken beside the
    images and a network that runs on some of them; the values don't depend on it.

    Raises DeryError for fewer than two models, for one the zoo doesn't have or that can't be cut,
    for a network that says the same of every image at some cut, and where `memory` doesn't suffice.
    """
    names = list(dict.fromkeys(names))
    if len(names) < 2:
        raise DeryError("A similarity table compares at least two models: choose another one.")
    images = probe_images(probe)
    probe_hash = _image_hash(images)
    keys = [record_key(zoo, name, probe_hash, comparison) for name in names]
    key = digest("table", SimilarityTable.schema_version, probe, comparison, *names, *keys)
    path = workspace.table(key)
    if path.is_file():
        try:
            return SimilarityTable.load(path)
        except DeryError:
            pass  # damaged: measured again below
    found = [stored_record(record, len(images), workspace) for record in keys]
    # Only what is still to run is counted: what lies on disk would make the estimate too rosy.
    missing = found.count(None) * len(images)
    tick = Ticker("Features", missing, "images", report if missing else silent)
    records = [
        record or computed_record(zoo, name, images, own, workspace, comparison, memory, tick)
        for record, name, own in zip(found, names, keys, strict=True)
    ]
    pixels = pixel_record(images, probe_hash, workspace, comparison)
    values = _values(names, records, pixels, comparison, memory, report, workspace)
    index = _index(names, records, [zoo.weights_key(name) for name in names])
    table = SimilarityTable(values, index, probe, key, comparison)
    table.save(path)
    return table


def _values(
    names: Sequence[str],
    records: Sequence[CutRecord],
    pixels: StoredFeatures,
    comparison: Comparison,
    memory: int,
    report: ProgressFn,
    workspace: Workspace,
) -> Floats:
    # Cut 0 is the same picture for every model, so it is compared once and its row repeated.
    features, labels, rows = [pixels], ["the probe's pictures"], []
    for name, record in zip(names, records, strict=True):
        rows.append(0)
        for node, feature in zip(record.nodes[1:], record.features, strict=True):
            rows.append(len(features))
            features.append(feature)
            labels.append(f"{name} after {node}")
    values = similarity_matrix(features, comparison, labels, memory, report, workspace.root)
    return values[np.ix_(rows, rows)]


def _index(names: Sequence[str], records: Sequence[CutRecord], weights: Sequence[str]) -> pd.DataFrame:
    parts = [
        pd.DataFrame(
            {
                "model": name,
                "cut": np.arange(len(record.nodes)),
                "node": record.nodes,
                "layout": record.layouts,
                "params": np.asarray(record.params, np.int64),
                "macs": np.asarray(record.macs, np.int64),
                "weights": weight,
            }
        )
        for name, record, weight in zip(names, records, weights, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def _image_hash(images: Tensor) -> str:
    """Hash of the pictures themselves: a dataset that changes under the same name is another probe."""
    return digest(tuple(images.shape), hashlib.sha256(images.numpy().tobytes()).hexdigest())
