"""`dery zoo` and `dery graph`: the networks there are, one's own among them, and how they are cut."""

import argparse
import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dery_core.commands import open_zoo, print_table
from dery_core.errors import DeryError
from dery_core.files import check_writable, user_path, write_text
from dery_core.progress import ProgressFn, TerminalProgress, Ticker
from dery_core.units import quantity
from dery_core.workspace import Workspace

if TYPE_CHECKING:
    from dery_core.zoo import LineGraph, Zoo, ZooModel

_ZOO_FILES = (".json", ".yaml", ".yml")


def list_zoo(arguments: argparse.Namespace) -> None:
    """List the zoo in use."""
    zoo = open_zoo(arguments)
    print_table(
        [
            {
                "network": model.name,
                "family": _family(model),
                "source task": model.trained_on,
                "params": _count(model.params),
                "MACs": _count(model.macs),
                "top-1 %": f"{model.top1:.1f}" if model.top1 is not None else None,
            }
            for model in zoo.models
        ]
    )
    print(zoo.path)


def _family(model: "ZooModel") -> str | None:
    """None where this timm doesn't know the architecture: `dery zoo check` says so."""
    from dery_core.zoo import family

    with suppress(DeryError):
        return family(model)
    return None


def check(arguments: argparse.Namespace) -> None:
    """Build and cut the zoo's networks."""
    from dery_core.zoo import check_zoo

    zoo = open_zoo(arguments)
    zoo = zoo.subset(arguments.models or zoo.names)
    with TerminalProgress() as report:
        faults = check_zoo(zoo, report)
    print_table(
        [
            {
                "network": model.name,
                "hash": "right" if model.sha256 and not faults[model.name] else None,
                "builds and can be cut": faults[model.name] or "yes",
            }
            for model in zoo.models
        ]
    )
    broken = [name for name, fault in faults.items() if fault]
    if broken:
        raise DeryError(f"{len(broken)} of {len(faults)} networks of {zoo.path} can't be used as they are.")


def add(arguments: argparse.Namespace) -> None:
    """Add one of timm's networks, or one's own, to the zoo."""
    from dery_core.zoo import add_checkpoint, add_pretrained, add_target

    own = arguments.weights is not None and arguments.architecture is not None
    if own == (arguments.network is not None) or (arguments.network and arguments.weights):
        raise DeryError(
            "name trained weights of timm (dery zoo add resnet18.a1_in1k), or give --architecture and "
            "--weights."
        )
    if not own:
        _refuse_description(arguments)
    path = add_target(Workspace.open(arguments.workspace), arguments.zoo)
    with TerminalProgress() as report:
        if own:
            model = add_checkpoint(path, _described(arguments), arguments.weights, report)
        else:
            model = add_pretrained(path, arguments.network, report, called=arguments.name or "")
    height, width = model.input_size[1:]
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (model.mean, model.std))
    print(
        f"Added {model.name}: {_count(model.params)} params, {_count(model.macs)} MACs; "
        f"it takes {height}×{width} pixels, mean {mean}, std {std}."
    )
    print(path)


def _refuse_description(arguments: argparse.Namespace) -> None:
    """What timm says about its weights isn't said again."""
    told = {
        "--architecture": arguments.architecture,
        "--kwargs": arguments.kwargs or None,
        "--classes": arguments.classes,
        "--input-size": arguments.input_size,
        "--mean": arguments.mean,
        "--std": arguments.std,
        "--source-task": arguments.source_task,
        "--top1": arguments.top1,
    }
    for option, value in told.items():
        if value is not None:
            raise DeryError(
                f"{option} describes a network of your own; for timm's {arguments.network} leave it out, or "
                "write it into the zoo file."
            )


def _described(arguments: argparse.Namespace) -> "ZooModel":
    """The network of one's own, as the options describe it and otherwise as timm's weights are."""
    from dery_core.zoo import UNKNOWN_TASK, template

    model = template(arguments.architecture, arguments.name or arguments.weights.stem)
    settings = dict(arguments.kwargs)
    if arguments.classes is not None:
        settings["num_classes"] = arguments.classes
    told: dict[str, Any] = {
        name: tuple(value) for name in ("mean", "std") if (value := getattr(arguments, name)) is not None
    }
    if arguments.input_size is not None:
        if len(arguments.input_size) > 2:
            raise DeryError("--input-size takes the side of a square, or height and width.")
        told["input_size"] = (3, arguments.input_size[0], arguments.input_size[-1])
    return replace(
        model,
        source_task=arguments.source_task or UNKNOWN_TASK,
        top1=arguments.top1,
        model_kwargs=settings,
        **told,
    )


def remove(arguments: argparse.Namespace) -> None:
    """Take a network out of the zoo."""
    from dery_core.zoo import remove

    zoo = open_zoo(arguments)
    weights = zoo.weights_path(arguments.model)
    remove(zoo.path, arguments.model)
    print(f"Removed {arguments.model}." + (f" Its weights stay: {weights}" if weights else ""))


def search(arguments: argparse.Namespace) -> None:
    """List timm's trained networks."""
    from dery_core.zoo import pretrained

    workspace = Workspace.at(arguments.workspace)
    _check_family(arguments.family)
    if arguments.min_top1 is not None and not pretrained.have_results(workspace):
        try:
            with TerminalProgress() as report:
                pretrained.fetch_results(Workspace.open(arguments.workspace), report)
        except DeryError as error:
            raise DeryError(
                f"{str(error).rstrip('.')}; or search without --min-top1, which takes timm's accuracies."
            ) from error
    found = pretrained.search(
        " ".join(arguments.text),
        arguments.family,
        arguments.max_params,
        arguments.max_macs,
        arguments.min_top1,
        workspace,
    )
    print_table(
        [
            {
                "network": entry.name,
                "family": entry.family,
                "params": _count(entry.params),
                "MACs": _count(entry.macs),
                "pixels": "×".join(map(str, entry.input_size[1:])),
                "nodes": "can't be cut" if entry.cuttable is False else entry.nodes,
                "top-1 %": f"{entry.top1:.1f}" if entry.top1 is not None else None,
                "here": "yes" if pretrained.cached(entry.name) else None,
            }
            for entry in found[: arguments.limit]
        ]
    )
    left = len(found) - arguments.limit
    print(f"{len(found)} networks{f', {left} of them not shown (see --limit)' if left > 0 else ''}.")
    if not pretrained.have_results(workspace):
        print("With --min-top1 (0 for all) timm's accuracies are fetched once, from GitHub.")


def _check_family(family: str) -> None:
    from dery_core.zoo import pretrained

    families = {entry.family for entry in pretrained.catalogue()}
    if family and family not in families:
        close = " or ".join(f"'{other}'" for other in difflib.get_close_matches(family, families, cutoff=0.4))
        hint = f"did you mean {close}?" if close else "`dery zoo search` shows every network's."
        raise DeryError(f"timm has no family '{family}' with trained networks: {hint}")


def train(arguments: argparse.Namespace) -> None:
    """Train the embedded zoo."""
    from dery_core.zoo import EMBEDDED_ZOO
    from dery_core.zoo.training import train_embedded_zoo

    with TerminalProgress() as report:
        train_embedded_zoo(
            arguments.folder or EMBEDDED_ZOO.parent,
            workers=arguments.workers,
            only=arguments.only,
            force=arguments.force,
            report=report,
        )


def graph(arguments: argparse.Namespace) -> None:
    """Cut one network, or all of a zoo, and show what came of it."""
    from dery_core.zoo import load_zoo

    what, quiet = arguments.network, arguments.json == "-"
    if arguments.json and not quiet:
        if user_path(arguments.json).is_dir():
            raise DeryError(f"{arguments.json} is a folder: give --json a file.")
        check_writable(user_path(arguments.json).parent)
    whole = what == "all" or what.endswith(_ZOO_FILES)
    zoo = load_zoo(what) if whole and what != "all" else open_zoo(arguments)
    with TerminalProgress() as report:
        networks = _whole_zoo(zoo, report) if whole else [_described_graph(zoo, what, report)]
    text = json.dumps({"schema_version": 1, "networks": networks}, indent=1, ensure_ascii=False)
    if quiet:
        sys.stdout.write(text + "\n")
    elif arguments.json:
        write_text(user_path(arguments.json), text + "\n")
    if not quiet:
        _print_graphs(networks) if whole else _print_graph(networks[0])
    refused = [network["refused"] for network in networks if "refused" in network]
    if refused:
        raise DeryError(
            f"{len(refused)} of {len(networks)} networks of {zoo.path} can't be cut." if whole else refused[0]
        )


def _whole_zoo(zoo: "Zoo", report: ProgressFn) -> list[dict[str, Any]]:
    tick = Ticker("Cutting", len(zoo.names), "networks", report)
    networks = []
    for name in zoo.names:
        networks.append(_described_graph(zoo, name, report))
        tick()
    return networks


def _described_graph(zoo: "Zoo", name: str, report: ProgressFn) -> dict[str, Any]:
    """What `dery graph` tells of a network: its description, or its name and why it is refused."""
    from dery_core.zoo.description import description

    try:
        graph, weights = _graph(zoo, name, report)
        return {**description(graph), "weights": weights}
    except DeryError as error:
        return {"name": name, "refused": str(error)}


def _graph(zoo: "Zoo", name: str, report: ProgressFn) -> tuple["LineGraph", str]:
    """The line graph of a member, or of a network of timm with random weights."""
    import timm

    from dery_core.zoo import line_graph, untrained, zoo_line_graph

    if name in zoo.names:
        zoo.fetch(name, report)
        return zoo_line_graph(zoo, name), "trained"
    if not timm.is_model(name.partition(".")[0]):
        known = [*zoo.names, *timm.list_models()]
        close = " or ".join(f"'{other}'" for other in difflib.get_close_matches(name, known, cutoff=0.4))
        hint = f"did you mean {close}?" if close else "see `dery zoo list` and `dery zoo search`."
        raise DeryError(f"'{name}' is neither in the zoo {zoo.path} nor a network of timm: {hint}")
    module, input_size = untrained(name)
    return line_graph(module, input_size, name), "random"


def _print_graph(network: Mapping[str, Any]) -> None:
    if "refused" in network:
        return
    *nodes, head = network["chain"]
    print_table(
        [
            {
                "node": index,
                "name": node["name"],
                "takes": node["takes"]["text"],
                "gives": node["gives"]["text"],
                "params": quantity(node["params"]),
                "MACs": quantity(node["macs"]),
                "share": f"{100 * node['share']:.1f} %",
            }
            for index, node in [*enumerate(nodes), ("head", head)]
        ]
    )
    streams = f", {network['streams']} of them of several tensors" if network["streams"] else ""
    print(
        f"{network['nodes']} nodes, {network['cuts']} cuts{streams}; {quantity(network['params'])} params, "
        f"{quantity(network['macs'])} MACs."
    )
    if network["weights"] == "random":
        print("With random weights: trained ones are cut at the same places.")
    print(f"Checked: {network['exact']}.")


def _print_graphs(networks: Sequence[Mapping[str, Any]]) -> None:
    print_table(
        [
            {
                "network": network["name"],
                "nodes": network.get("nodes"),
                "cuts": network.get("cuts"),
                "of several tensors": network.get("streams"),
                "largest share": f"{100 * max(node['share'] for node in network['chain']):.1f} %"
                if "chain" in network
                else None,
                "params": _count(network.get("params")),
                "MACs": _count(network.get("macs")),
                "exact": network.get("refused") or "yes",
            }
            for network in networks
        ]
    )


def _count(count: int | None) -> str | None:
    return quantity(count) if count is not None else None
