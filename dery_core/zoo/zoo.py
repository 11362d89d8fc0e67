"""`Zoo`: the trained networks that one zoo file lists."""

import dataclasses
import difflib
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import timm
from torch import nn

from dery_core.errors import DeryError, first_line
from dery_core.files import resolved, sha256, user_path
from dery_core.progress import ProgressFn, silent
from dery_core.zoo.architecture import architecture_settings, build_architecture, timm_config
from dery_core.zoo.download import download_weights
from dery_core.zoo.model import ZooModel
from dery_core.zoo.pretrained import check_pretrained, pretrained_model
from dery_core.zoo.weights import load_tensors, read_tensors
from dery_core.zoo.zoo_file import read_document

EMBEDDED_ZOO = Path(__file__).resolve().parents[2] / "assets" / "zoo" / "zoo.json"
EMBEDDED = "embedded"
"""How a zoo file names the embedded zoo that it extends."""
_TIMM = "timm:"


@dataclass(frozen=True)
class Zoo:
    """Models of the zoo file at `path` and of the zoos it extends, those first.

    `files` are all of these files, `folders` tells for every member the folder of its weights, and
    `own` names the members that the file itself lists.
    """

    path: Path
    models: tuple[ZooModel, ...]
    folders: Mapping[str, Path] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    own: tuple[str, ...] = ()

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

    def folder(self, name: str) -> Path:
        """Where the member's weight file lies: beside the zoo file that lists it."""
        return self.folders.get(name, self.path.parent)

    def weights_path(self, name: str) -> Path | None:
        """The member's weight file; None for timm's weights, which lie in a cache."""
        model = self.model(name)
        return None if is_pretrained(model) else self.folder(name) / model.weights

    def weights_key(self, name: str) -> str:
        """What tells the member's weights from others: the file's SHA-256, or timm's tag."""
        model, path = self.model(name), self.weights_path(name)
        if model.sha256 or path is None or not os.path.isfile(path):
            return model.sha256 or model.weights
        return file_hash(path)

    def check(self) -> None:
        """Raise DeryError for the first member whose weight file is missing or has another hash.

        Looks at files only; `check_zoo` builds and cuts as well.
        """
        for model in self.models:
            self._check_weights(model)

    def fetch(self, name: str, report: ProgressFn = silent) -> None:
        """Download timm's weights of the member, if it has such and they aren't on this machine."""
        model = self.model(name)
        if is_pretrained(model):
            download_weights(pretrained_name(model), report)

    def build(self, name: str) -> nn.Module:
        """The member in eval mode with its weights in float32; timm's are downloaded if need be.

        Raises DeryError when the weight file is missing, has another hash or doesn't fit.
        """
        model = self.model(name)
        path = self._check_weights(model)
        if path is None:
            return build_pretrained(model, download_weights(pretrained_name(model)))
        return build_with_weights(model, path)

    def _check_weights(self, model: ZooModel) -> Path | None:
        path = self.weights_path(model.name)
        if path is None:
            return None
        if not resolved(path).is_relative_to(resolved(self.folder(model.name))):
            raise DeryError(
                f"'{model.name}': weights '{model.weights}' lie outside the zoo's folder: "
                "put the file beside the zoo file."
            )
        if not os.path.isfile(path):  # Path.is_file raises for a name too long
            raise DeryError(
                f"the weight file {path} of '{model.name}' is missing: put it beside the zoo file."
            )
        if model.sha256 and file_hash(path) != model.sha256:
            raise DeryError(
                f"the weight file {path} of '{model.name}' is not the one the zoo was made with "
                "(its SHA-256 differs): restore it, or correct the hash in the zoo file."
            )
        return path


def load_zoo(path: Path | str) -> Zoo:
    """The zoo that a JSON or YAML file lists, with the zoo it extends; weight files are not read yet.

    Takes an object with `models`, and with `extends` if it likes, or a plain list of models. Keys
    that a ZooModel doesn't have go to its provenance. Raises DeryError for a file that isn't one,
    and for duplicate names.
    """
    return _load(user_path(path), ())


def embedded_zoo() -> Zoo:
    """The trained networks that ship with DeRy Studio."""
    return load_zoo(EMBEDDED_ZOO)


def is_pretrained(model: ZooModel) -> bool:
    """Whether the weights are timm's, not a file beside the zoo file."""
    return model.weights.startswith(_TIMM)


def pretrained_name(model: ZooModel) -> str:
    """timm's name of the weights, e.g. "resnet18.a1_in1k"; DeryError when timm has no such."""
    tag = model.weights.removeprefix(_TIMM)
    name = f"{model.architecture}.{tag}" if tag else model.architecture
    return check_pretrained(name, model.name)


def build_with_weights(model: ZooModel, path: Path) -> nn.Module:
    """The network with the weights of a file, in float32 and eval mode; DeryError when they don't fit."""
    module = build_architecture(model)
    tensors = read_tensors(path, f"the weight file {path} of '{model.name}'")
    load_tensors(module, tensors, f"'{model.name}': {path.name}", model.architecture)
    return module.eval()


def build_pretrained(model: ZooModel, path: Path) -> nn.Module:
    """The network with timm's weights, which lie at `path`, in float32 and eval mode."""
    if model.sha256 and file_hash(path) != model.sha256:
        raise DeryError(
            f"timm's weights of '{model.name}' in {path} are not those the zoo was made with (their SHA-256 "
            "differs): delete the file to download it anew, or add the network to the zoo anew."
        )
    name, settings = pretrained_name(model), architecture_settings(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # a file at hand is in the format of timm's own, whatever the original weights were in
            overlay = {"file": str(path), "custom_load": False}
            return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **settings).eval()
    except Exception as error:  # whatever timm and torch make of settings that don't fit the weights
        raise DeryError(
            f"'{model.name}': timm's weights {path} can't be loaded ({first_line(error)}): correct "
            "model_kwargs in the zoo file, or delete the weights to download them anew."
        ) from error


def file_hash(path: Path) -> str:
    """SHA-256, read once as long as the file stays as it is."""
    status = path.stat()
    return _file_hash(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _file_hash(path: Path, modified: int, size: int) -> str:
    return sha256(path)


def _load(path: Path, extending: tuple[Path, ...]) -> Zoo:
    if resolved(path) in extending:
        raise DeryError(f"{path}: the zoo extends itself, by way of {extending[-1]}.")
    document = read_document(path)
    models = tuple(_read_model(entry, f"{path}: model {row}") for row, entry in enumerate(document["models"]))
    own = tuple(model.name for model in models)
    for name in own:
        if own.count(name) > 1:
            raise DeryError(f"{path}: two models are named '{name}': give each a name of its own.")
    if "extends" not in document:
        if not models:
            raise DeryError(f"{path}: the zoo holds no models.")
        return Zoo(path, models, dict.fromkeys(own, path.parent), (path,), own)
    base = _load(_extended(document["extends"], path), (*extending, resolved(path)))
    for name in own:
        if name in base.names:
            raise DeryError(
                f"{path}: a model is named '{name}', as one of {base.path} that it extends: give it "
                "another name."
            )
    folders = {**base.folders, **dict.fromkeys(own, path.parent)}
    return Zoo(path, (*base.models, *models), folders, (path, *base.files), own)


def _extended(name: str, path: Path) -> Path:
    if name == EMBEDDED:
        return EMBEDDED_ZOO
    return user_path(name) if name.startswith("~") else path.parent / name


def _read_model(entry: Any, where: str) -> ZooModel:
    if not isinstance(entry, dict):
        raise DeryError(f"{where} is not an object.")
    name = entry.get("name", entry.get("timm"))
    if isinstance(name, str):
        where += f" ('{name}')"
    entry = _with_classes(_from_timm(entry, where) if "timm" in entry else entry, where)
    known = {field.name for field in dataclasses.fields(ZooModel)} | {"schema_version"}
    extra = {key: value for key, value in entry.items() if key not in known}
    fields = {key: value for key, value in entry.items() if key in known}
    if extra and isinstance(fields.get("provenance", {}), dict):
        fields["provenance"] = {**fields.get("provenance", {}), **extra}
    model = ZooModel.from_dict(fields, where)
    _check_head(model, where)
    return model


def _check_head(model: ZooModel, where: str) -> None:
    """timm would give its weights a new, random head for another number of classes."""
    if not is_pretrained(model):
        return
    try:
        known = timm_config(pretrained_name(model))
    except DeryError:
        return  # said when the member is used: the zoo's others are as good as before
    for setting, words, own in (
        ("num_classes", "num_classes (or 'classes')", known.num_classes),
        ("in_chans", "in_chans", known.input_size[0]),
    ):
        if model.model_kwargs.get(setting, own) != own:
            raise DeryError(
                f"{where}: {words} is {model.model_kwargs[setting]}, but timm's weights have {own}: leave it "
                "out, as the new layer would be untrained."
            )


def _from_timm(entry: dict[str, Any], where: str) -> dict[str, Any]:
    """The entry with everything that timm says about the weights it names, its own words first."""
    if not isinstance(entry["timm"], str):
        raise DeryError(f"{where}: field 'timm' must name timm's weights, like resnet18.a1_in1k.")
    for key in ("architecture", "weights"):
        if key in entry:
            raise DeryError(f"{where}: field '{key}' is what 'timm' says already: leave it out.")
    try:
        known = pretrained_model(entry["timm"])
    except DeryError as error:
        raise DeryError(f"{where}: field 'timm': {error}") from error
    entry = {key: value for key, value in entry.items() if key != "timm"}
    settings = entry.get("model_kwargs", {})
    if isinstance(settings, dict):
        entry["model_kwargs"] = {**known.model_kwargs, **settings}
    return {**dataclasses.asdict(known), **entry}


def _with_classes(entry: dict[str, Any], where: str) -> dict[str, Any]:
    """`classes: 10` is short for `num_classes: 10` among the model_kwargs."""
    classes, settings = entry.get("classes"), entry.get("model_kwargs", {})
    if classes is None or not isinstance(settings, dict):
        return entry
    if type(classes) is not int or classes < 1:
        raise DeryError(f"{where}: field 'classes' is {classes!r}; it must be a whole number above 0.")
    if settings.get("num_classes", classes) != classes:
        raise DeryError(f"{where}: field 'classes' is {classes}, but model_kwargs say num_classes otherwise.")
    rest = {key: value for key, value in entry.items() if key != "classes"}
    return {**rest, "model_kwargs": {**settings, "num_classes": classes}}
