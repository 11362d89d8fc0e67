"""`Zoo`: the trained networks that one zoo file lists."""

import dataclasses
import difflib
import json
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dery_core.errors import DeryError
from dery_core.files import sha256, user_path
from dery_core.values import read_json
from dery_core.zoo.compact import COMPACT_FAMILIES
from dery_core.zoo.costs import count_macs
from dery_core.zoo.model import ZooModel

EMBEDDED_ZOO = Path(__file__).resolve().parents[2] / "assets" / "zoo" / "zoo.json"
_SCHEMA_VERSION = 1
_TIMM = "timm:"
_LOADING_KWARGS = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}
"""Settings by which a foreign zoo file could make timm read any file or address."""


@dataclass(frozen=True)
class Zoo:
    """Models of one zoo file at `path`; weight files lie beside it."""

    path: Path
    models: tuple[ZooModel, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(model.name for model in self.models)

    def model(self, name: str) -> ZooModel:
        """The member of that name; DeryError that names close matches when there is none."""
        for model in self.models:
            if model.name == name:
                return model
        close = difflib.get_close_matches(name, self.names, n=3, cutoff=0.4) or list(self.names)[:3]
        listed = " or ".join(f"'{other}'" for other in close)
        raise DeryError(f"the zoo {self.path} has no model '{name}': did you mean {listed}?")

    def subset(self, names: Iterable[str]) -> "Zoo":
        """The zoo with only these members, in the order given."""
        return dataclasses.replace(self, models=tuple(self.model(name) for name in names))

    def weights_path(self, name: str) -> Path | None:
        """The member's weight file; None when timm is to download its weights."""
        model = self.model(name)
        return None if model.weights.startswith(_TIMM) else self.path.parent / model.weights

    def weights_key(self, name: str) -> str:
        """What tells the member's weights from others: the file's SHA-256, or timm's tag."""
        model, path = self.model(name), self.weights_path(name)
        return model.sha256 or (sha256(path) if path is not None and os.path.isfile(path) else model.weights)

    def check(self) -> None:
        """Raise DeryError for the first member whose weight file is missing or has another hash.

        Looks at files only; `check_zoo` builds and cuts as well.
        """
        for model in self.models:
            self._check_weights(model)

    def build(self, name: str) -> nn.Module:
        """The member in eval mode with its weights in float32.

        Raises DeryError when the weight file is missing, has another hash or doesn't fit.
        """
        model = self.model(name)
        path = self._check_weights(model)
        if path is None:
            return _download(model).eval()
        module = build_architecture(model)
        _load_weights(module, _read_weights(model, path), model, path)
        return module.eval()

    def _check_weights(self, model: ZooModel) -> Path | None:
        path = self.weights_path(model.name)
        if path is None:
            return None
        if not path.resolve().is_relative_to(self.path.parent.resolve()):
            raise DeryError(
                f"'{model.name}': weights '{model.weights}' lie outside the zoo's folder: "
                "put the file beside the zoo file."
            )
        if not os.path.isfile(path):  # Path.is_file raises for a name too long
            raise DeryError(
                f"the weight file {path} of '{model.name}' is missing: put it beside {self.path.name}."
            )
        if model.sha256 and _file_hash(path, path.stat().st_mtime_ns, path.stat().st_size) != model.sha256:
            raise DeryError(
                f"the weight file {path} of '{model.name}' is not the one the zoo was made with "
                "(its SHA-256 differs): restore it, or correct the hash in the zoo file."
            )
        return path


def load_zoo(path: Path | str) -> Zoo:
    """The zoo that a JSON file lists; weight files are not read yet.

    Takes `{"schema_version": 1, "models": [...]}` or a plain list. Keys that a ZooModel doesn't have
    go to its provenance. Raises DeryError for a file that isn't one, and for duplicate names.
    """
    path = user_path(path)
    data = read_json(path)
    if isinstance(data, dict):
        version = data.get("schema_version", _SCHEMA_VERSION)
        if version != _SCHEMA_VERSION:
            raise DeryError(
                f"{path}: field 'schema_version' is {version!r}, but this DeRy Studio reads version "
                f"{_SCHEMA_VERSION} of a zoo."
            )
        data = data.get("models")
    if not isinstance(data, list):
        raise DeryError(f"{path}: a zoo file holds a list of models, or an object with the list as 'models'.")
    models = tuple(_read_model(entry, f"{path}: model {row}") for row, entry in enumerate(data))
    if not models:
        raise DeryError(f"{path}: the zoo holds no models.")
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise DeryError(f"{path}: two models are named '{name}': give each a name of its own.")
    return Zoo(path, models)


def embedded_zoo() -> Zoo:
    """The trained networks that ship with DeRy Studio."""
    return load_zoo(EMBEDDED_ZOO)


def build_architecture(model: ZooModel, num_classes: int | None = None) -> nn.Module:
    """The network with random weights, in train mode; reads no file and no network.

    `num_classes` replaces the head's size. Raises DeryError for an architecture timm doesn't know,
    and for settings it refuses.
    """
    if not timm.is_model(model.architecture):
        close = difflib.get_close_matches(model.architecture, timm.list_models(), n=1)
        hint = f"did you mean '{close[0]}'?" if close else "see timm.list_models()."
        raise DeryError(f"'{model.name}': timm {timm.__version__} has no '{model.architecture}': {hint}")
    settings = dict(model.model_kwargs)
    for name in _LOADING_KWARGS & set(settings):
        raise DeryError(
            f"'{model.name}': model_kwargs may not hold '{name}': weights come from 'weights' alone."
        )
    if num_classes is not None:
        settings["num_classes"] = num_classes
    try:
        return timm.create_model(model.architecture, pretrained=False, **settings)
    except Exception as error:  # timm checks few of its settings
        raise DeryError(
            f"'{model.name}': timm refuses the model_kwargs of '{model.architecture}' "
            f"({_first_line(error)}): correct them in the zoo file."
        ) from error


def family(model: ZooModel) -> str:
    """timm's family file of the architecture, e.g. "resnet" or "vision_transformer"."""
    name = model.architecture
    if name in COMPACT_FAMILIES:
        return COMPACT_FAMILIES[name]
    if not timm.is_model(name):
        raise DeryError(f"'{model.name}': timm {timm.__version__} has no '{name}'.")
    return timm.model_entrypoint(name).__module__.rsplit(".", 1)[-1]


@lru_cache(maxsize=1024)
def _architecture_cost(model_json: str, num_classes: int) -> tuple[int, int]:
    model = ZooModel.from_dict(json.loads(model_json))
    module = build_architecture(model, num_classes)
    params = sum(parameter.numel() for parameter in module.parameters())
    module.eval()
    try:
        return params, count_macs(module, torch.zeros(1, *model.input_size))
    except Exception as error:  # whatever the network raises
        size = "×".join(map(str, model.input_size))
        raise DeryError(
            f"'{model.name}' doesn't run on an input of {size} ({_first_line(error)}): correct input_size or "
            "model_kwargs in the zoo file."
        ) from error


def member_cost(model: ZooModel, num_classes: int) -> tuple[int, int]:
    """Params and MACs (for one image) of the network with a head for `num_classes`.

    DeryError for a network that can't be built or doesn't run on its input size.
    """
    return _architecture_cost(json.dumps(model.to_dict(), sort_keys=True), num_classes)


def _read_model(entry: Any, where: str) -> ZooModel:
    if not isinstance(entry, dict):
        raise DeryError(f"{where} is not an object.")
    if isinstance(entry.get("name"), str):
        where += f" ('{entry['name']}')"
    known = {field.name for field in dataclasses.fields(ZooModel)} | {"schema_version"}
    extra = {key: value for key, value in entry.items() if key not in known}
    fields = {key: value for key, value in entry.items() if key in known}
    if extra and isinstance(fields.get("provenance", {}), dict):
        fields["provenance"] = {**fields.get("provenance", {}), **extra}
    return ZooModel.from_dict(fields, where)


@lru_cache(maxsize=256)
def _file_hash(path: Path, modified: int, size: int) -> str:
    """SHA-256, read once as long as the file stays as it is."""
    return sha256(path)


def _read_weights(model: ZooModel, path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise DeryError(
            f"the weight file {path} of '{model.name}' is not a readable safetensors file ({error})."
        ) from error


def _load_weights(module: nn.Module, weights: dict[str, Tensor], model: ZooModel, path: Path) -> None:
    """Copy the tensors in, cast to each parameter's type; DeryError names the first that doesn't fit."""
    own = module.state_dict()
    where = f"'{model.name}': {path.name}"
    for name, tensor in own.items():
        if name not in weights:
            raise DeryError(f"{where} lacks the tensor '{name}' of '{model.architecture}'.")
        if weights[name].shape != tensor.shape:
            raise DeryError(
                f"{where}: tensor '{name}' is {tuple(weights[name].shape)} in the file, "
                f"but {tuple(tensor.shape)} in '{model.architecture}' as the zoo file describes it."
            )
    for name in weights:
        if name not in own:
            raise DeryError(f"{where} holds a tensor '{name}' that '{model.architecture}' doesn't have.")
    module.load_state_dict(weights)


def _download(model: ZooModel) -> nn.Module:
    tag = model.weights.removeprefix(_TIMM)
    name = f"{model.architecture}.{tag}" if tag else model.architecture
    build_architecture(model)
    if not timm.models.is_model_pretrained(name):
        raise DeryError(f"'{model.name}': timm {timm.__version__} has no weights '{name}'.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return timm.create_model(name, pretrained=True, **model.model_kwargs)
    except Exception as error:  # huggingface_hub raises many kinds, none of them common to all
        raise DeryError(
            f"'{model.name}': timm's weights '{name}' can't be loaded ({_first_line(error)}): "
            "connect to the network for their first use, or give a safetensors file."
        ) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:120] if text else type(error).__name__
