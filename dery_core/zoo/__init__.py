"""Zoos of trained networks, and networks as line graphs."""

from dery_core.zoo.layout import Layout
from dery_core.zoo.layout_ops import channel_means, feature_map, from_feature_map, prefix_tokens
from dery_core.zoo.line_graph import LineGraph, Node, SizeMeasure
from dery_core.zoo.model import ZooModel
from dery_core.zoo.zoo import (
    EMBEDDED_ZOO,
    Zoo,
    build_architecture,
    embedded_zoo,
    family,
    load_zoo,
    member_cost,
)

# after the submodule of the same name, which importing would otherwise put in its place
from dery_core.zoo.building import check_zoo, line_graph, zoo_line_graph  # isort: skip
from dery_core.zoo.costs import count_macs

__all__ = [
    "check_zoo",
    "EMBEDDED_ZOO",
    "member_cost",
    "load_zoo",
    "family",
    "embedded_zoo",
    "build_architecture",
    "Zoo",
    "Layout",
    "LineGraph",
    "Node",
    "SizeMeasure",
    "ZooModel",
    "channel_means",
    "count_macs",
    "feature_map",
    "from_feature_map",
    "line_graph",
    "prefix_tokens",
    "zoo_line_graph",
]
