"""Networks by timm's name, without trained weights: built, their family, what they cost."""

import difflib
import json
from functools import lru_cache
from typing import Any

import timm
import torch
from torch import nn

from dery_core.errors import DeryError, first_line
from dery_core.zoo.compact import COMPACT_FAMILIES
from dery_core.zoo.costs import count_macs
from dery_core.zoo.model import ZooModel

_LOADING_KWARGS = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}
"""Settings by which a foreign zoo file could make timm read any file or address."""


def build_architecture(model: ZooModel, num_classes: int | None = None, tag: str = "") -> nn.Module:
    """The network with random weights, in train mode; reads no file and no network.

    `num_classes` replaces the head's size; with `tag` it is built as those weights of timm want it.
    Raises DeryError for an architecture timm doesn't know,
    and for settings it refuses.
    """
    settings = architecture_settings(model)
    if num_classes is not None:
        settings["num_classes"] = num_classes
    try:
        name = f"{model.architecture}.{tag}" if tag else model.architecture
        return timm.create_model(name, pretrained=False, **settings)
    except Exception as error:  # timm checks few of its settings
        raise DeryError(
            f"'{model.name}': timm refuses the model_kwargs of '{model.architecture}' "
            f"({first_line(error)}): correct them."
        ) from error


def architecture_settings(model: ZooModel) -> dict[str, Any]:
    """The member's model_kwargs; DeryError for an architecture timm doesn't know, and for settings
    that would make it read other files."""
    check_architecture(model.architecture, model.name)
    for name in _LOADING_KWARGS & set(model.model_kwargs):
        raise DeryError(
            f"'{model.name}': model_kwargs may not hold '{name}': weights come from 'weights' alone."
        )
    return dict(model.model_kwargs)


def check_architecture(architecture: str, where: str) -> None:
    """DeryError, which `where` begins, when timm has no such architecture; it names a close one."""
    base, _, tag = architecture.partition(".")
    if tag and timm.is_model(base):  # timm itself looks before the dot only
        raise DeryError(
            f"'{where}': '{architecture}' names weights, not an architecture: give the architecture as "
            f"'{base}', and the tag with the weights ('timm: {architecture}' in a zoo file)."
        )
    if timm.is_model(architecture):
        return
    close = difflib.get_close_matches(architecture, timm.list_models(), n=1)
    hint = f"did you mean '{close[0]}'?" if close else "`dery zoo search` lists timm's."
    raise DeryError(f"'{where}': timm {timm.__version__} has no '{architecture}': {hint}")


def timm_config(name: str) -> Any:
    """What timm knows of an architecture or of weights ("resnet18.a1_in1k"): its PretrainedCfg, or
    None for an architecture it knows nothing more of."""
    return timm.get_pretrained_cfg(name)


def family(model: ZooModel) -> str:
    """timm's family file of the architecture, e.g. "resnet" or "vision_transformer"."""
    if not timm.is_model(model.architecture):
        raise DeryError(f"'{model.name}': timm {timm.__version__} has no '{model.architecture}'.")
    return family_of(model.architecture)


def family_of(architecture: str) -> str:
    """The family file of an architecture that timm knows."""
    compact = COMPACT_FAMILIES.get(architecture)
    return compact or timm.model_entrypoint(architecture).__module__.rsplit(".", 1)[-1]


def member_cost(model: ZooModel, num_classes: int) -> tuple[int, int]:
    """Params and MACs (for one image) of the network with a head for `num_classes`.

    DeryError for a network that can't be built or doesn't run on its input size.
    """
    return _architecture_cost(json.dumps(model.to_dict(), sort_keys=True), num_classes)


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
            f"'{model.name}' doesn't run on an input of {size} ({first_line(error)}): correct input_size or "
            "model_kwargs in the zoo file."
        ) from error
