"""Arrays and their description in one .npz file, written and read without pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dery_core.errors import DeryError
from dery_core.files import atomic_path

Arrays = dict[str, NDArray[Any]]


def save_arrays(path: Path, kind: str, version: int, meta: Mapping[str, Any], arrays: Arrays) -> None:
    """Write `arrays` and JSON-able `meta` to `path` atomically."""
    header = json.dumps({"kind": kind, "schema_version": version, **meta})
    with atomic_path(path) as temporary:
        np.savez(temporary, **{"meta": np.array(header), **arrays})  # type: ignore[arg-type]


def load_arrays(path: Path, kind: str, version: int) -> tuple[dict[str, Any], Arrays]:
    """What `save_arrays` wrote. DeryError when the file is missing, damaged, of another kind or version."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(str(arrays.pop("meta")))
    except FileNotFoundError as error:
        raise DeryError(f"{path} does not exist.") from error
    except Exception as error:  # numpy and zipfile raise whatever their parsers meet
        raise DeryError(f"{path} is not a readable {kind} file.") from error
    if not isinstance(meta, dict) or meta.get("kind") != kind:
        raise DeryError(f"{path}: field 'meta' doesn't describe a {kind}.")
    if meta.get("schema_version") != version:
        raise DeryError(
            f"{path}: field 'schema_version' is {meta.get('schema_version')}, but this DeRy Studio reads "
            f"version {version} of a {kind}: make it anew."
        )
    return meta, arrays
