"""timm's pretrained networks: the catalogue of its tags, and one of them as a zoo's member."""

import csv
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import timm
from timm.models import is_model_pretrained

from dery_core.errors import DeryError
from dery_core.progress import ProgressFn, silent
from dery_core.workspace import Workspace
from dery_core.zoo.architecture import check_architecture, family_of, timm_config
from dery_core.zoo.download import cached_weights, download
from dery_core.zoo.model import UNKNOWN_TASK, ZooModel

SWEEP = Path(__file__).resolve().parents[2] / "assets" / "timm_catalogue.csv"
"""What cutting every architecture of timm gave; `benchmarks/line_graphs.py` writes it."""
OTHER_SIZES = SWEEP.with_name("timm_other_sizes.csv")
"""MACs where weights take another input size than their architecture; `benchmarks/catalogue_sizes.py`
writes it."""
RESULTS = (
    "https://raw.githubusercontent.com/huggingface/pytorch-image-models/main/results/results-imagenet.csv"
)
_TASKS = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "inat21": "iNaturalist 2021",
    "laion2b": "LAION-2B",
    "webli": "WebLI",
    "openai": "OpenAI CLIP",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
}
"""What the parts of a tag say about what the weights were trained on last."""


@dataclass(frozen=True)
class Pretrained:
    """One set of trained weights that timm knows.

    `params`, `macs` (for one image of `input_size`) and `nodes` are the architecture's with the head
    it has by default; None where they aren't known.
    `cuttable` is None where nobody has tried, and `reason` says why not where it is False. `top1` is
    the accuracy on ImageNet-1k in percent by timm's own table, None without it.
    """

    name: str
    architecture: str
    tag: str
    family: str
    input_size: tuple[int, int, int]
    classes: int
    source_task: str
    params: int | None = None
    macs: int | None = None
    nodes: int | None = None
    cuttable: bool | None = None
    reason: str = ""
    top1: float | None = None


def catalogue(workspace: Workspace | None = None) -> tuple[Pretrained, ...]:
    """Every pretrained tag of timm by name; with the accuracies that `fetch_results` kept in the
    workspace, if it did."""
    table = _results_path(workspace) if workspace is not None else None
    return _catalogue(table, _changed(table) if table else 0, _changed(SWEEP), _changed(OTHER_SIZES))


def other_sizes() -> dict[tuple[str, str], str]:
    """The architectures, with the sizes ("3x160x160") that some weights take and `SWEEP` doesn't hold;
    and the first such weights."""
    held = {(row["architecture"], row["input_size"]) for row in _rows(SWEEP)}
    found: dict[tuple[str, str], str] = {}
    for name in timm.list_models(pretrained=True):
        wanted = (name.partition(".")[0], _spelt(timm_config(name).input_size))
        if wanted not in held:
            found.setdefault(wanted, name)
    return found


def search(
    text: str = "",
    family: str = "",
    max_params: int | None = None,
    max_macs: int | None = None,
    min_top1: float | None = None,
    workspace: Workspace | None = None,
) -> tuple[Pretrained, ...]:
    """The catalogue's entries whose name holds every word of `text`, of that family, within the
    limits. An entry whose figure isn't known keeps to no limit on it."""
    words = text.lower().split()

    def fits(entry: Pretrained) -> bool:
        return (
            all(word in entry.name.lower() for word in words)
            and family in ("", entry.family)
            and (max_params is None or (entry.params is not None and entry.params <= max_params))
            and (max_macs is None or (entry.macs is not None and entry.macs <= max_macs))
            and (min_top1 is None or (entry.top1 is not None and entry.top1 >= min_top1))
        )

    return tuple(entry for entry in catalogue(workspace) if fits(entry))


def fetch_results(workspace: Workspace, report: ProgressFn = silent) -> Path:
    """Keep timm's table of ImageNet accuracies in the workspace; DeryError without a network."""
    return download(RESULTS, _results_path(workspace), "Downloading timm's accuracies", report)


def have_results(workspace: Workspace) -> bool:
    """Whether `fetch_results` has been here."""
    return _results_path(workspace).is_file()


def cached(name: str) -> bool:
    """Whether the weights are on this machine already."""
    return cached_weights(check_pretrained(name)) is not None


def check_pretrained(name: str, where: str = "") -> str:
    """timm's full name of the weights: "resnet18" becomes "resnet18.a1_in1k", its default tag.
    DeryError, with close names, for weights timm doesn't have."""
    architecture, _, tag = name.partition(".")
    check_architecture(architecture, where or name)
    if name in _names():
        return name
    if not tag and is_model_pretrained(architecture):
        return f"{architecture}.{timm_config(architecture).tag}".removesuffix(".")
    tags = [other for other in _names() if other.startswith(f"{architecture}.")]
    close = difflib.get_close_matches(name, tags, n=3, cutoff=0) if tags else []
    hint = f": did you mean {' or '.join(close)}?" if close else ": `dery zoo search` lists those it has."
    raise DeryError(f"'{where or name}': timm {timm.__version__} has no weights '{name}'{hint}")


def pretrained_model(name: str, where: str = "") -> ZooModel:
    """timm's weights as a zoo's member, with the input, mean and std they were trained with."""
    name = check_pretrained(name, where)
    config = timm_config(name)
    architecture, _, tag = name.partition(".")
    # said where it isn't what timm builds by the architecture's name alone
    default = timm_config(architecture).num_classes
    settings = {} if config.num_classes == default else {"num_classes": config.num_classes}
    return ZooModel(
        name=name,
        architecture=architecture,
        weights=f"timm:{tag}",
        source_task=source_task(tag),
        input_size=tuple(config.input_size),
        mean=tuple(config.mean),
        std=tuple(config.std),
        model_kwargs=settings,
        provenance={"licence": config.license} if config.license else {},
    )


def source_task(tag: str) -> str:
    """What weights of that tag were trained on last, as far as its parts say."""
    known = [_TASKS[part] for part in reversed(tag.split("_")) if part in _TASKS]
    return known[0] if known else tag or UNKNOWN_TASK


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(timm.list_models(pretrained=True))


def _results_path(workspace: Workspace) -> Path:
    return workspace.zoo / "results-imagenet.csv"


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


@lru_cache(maxsize=4)
def _catalogue(
    table: Path | None, table_changed: int, sweep_changed: int, others_changed: int
) -> tuple[Pretrained, ...]:
    accuracies = _accuracies(table) if table is not None and table_changed else {}
    sweep = {row["architecture"]: row for row in _rows(SWEEP)} if sweep_changed else {}
    others = _rows(OTHER_SIZES) if others_changed else []
    macs = {(row["architecture"], row["input_size"]): row["macs"] for row in [*others, *sweep.values()]}
    return tuple(_entry(name, sweep, macs, accuracies) for name in timm.list_models(pretrained=True))


def _entry(
    name: str,
    sweep: dict[str, dict[str, str]],
    macs: dict[tuple[str, str], str],
    accuracies: dict[str, float],
) -> Pretrained:
    architecture, _, tag = name.partition(".")
    config = timm_config(name)
    row = sweep.get(architecture, {})
    nodes, reason = _count(row.get("nodes")), row.get("reason", "")
    return Pretrained(
        name=name,
        architecture=architecture,
        tag=tag,
        family=family_of(architecture),
        input_size=tuple(config.input_size),
        classes=config.num_classes,
        source_task=source_task(tag),
        params=_count(row.get("params")),
        macs=_count(macs.get((architecture, _spelt(config.input_size)))),
        nodes=nodes,
        cuttable=True if nodes else False if reason else None,
        reason=reason,
        top1=accuracies.get(name),
    )


def _spelt(size: Iterable[int]) -> str:
    return "x".join(map(str, size))


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _accuracies(table: Path) -> dict[str, float]:
    try:
        accuracies = {row["model"]: float(row["top1"]) for row in _rows(table)}
    except (KeyError, ValueError, TypeError, csv.Error):
        accuracies = {}
    if not accuracies:
        raise DeryError(f"{table} is not timm's table of accuracies: delete it, and fetch it again.")
    return accuracies


def _count(text: str | None) -> int | None:
    return int(text) if text else None
