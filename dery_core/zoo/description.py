"""A line graph in words and figures, for tables and files."""

import dataclasses
from typing import Any

from dery_core.zoo.layout import Layout
from dery_core.zoo.line_graph import LineGraph, Node

EXACT = "bit-equal to the network on the given weights with one image, and on perturbed ones with three"
"""What `line_graph` has proved of every graph that it gives."""


def description(graph: LineGraph) -> dict[str, Any]:
    """What JSON says of a line graph: nodes in order, the head last among them, with what each takes
    and gives, its params and its MACs for one image; `cuts` between the nodes, and how many of these
    carry several tensors at once (`streams`)."""
    chain = [*graph.nodes, graph.head]
    inner = graph.layouts[1:]
    return {
        "name": graph.name,
        "input_size": list(graph.input_size),
        "params": graph.params,
        "macs": graph.macs,
        "nodes": len(graph.nodes),
        "cuts": len(inner),
        "streams": sum(layout.kind == "streams" for layout in inner),
        "exact": EXACT,
        "chain": [_node(graph, index, node) for index, node in enumerate(chain)],
    }


def _node(graph: LineGraph, index: int, node: Node) -> dict[str, Any]:
    gives = graph.layouts[index + 1] if index < len(graph.nodes) else None
    return {
        "name": node.name,
        "params": node.params,
        "macs": node.macs,
        "share": node.macs / graph.macs if graph.macs else 0.0,
        "takes": _layout(graph.layouts[index]),
        "gives": _layout(gives) if gives is not None else {"text": "logits"},
    }


def _layout(layout: Layout) -> dict[str, Any]:
    return {"text": str(layout), **dataclasses.asdict(layout)}
