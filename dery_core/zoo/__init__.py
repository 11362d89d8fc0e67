"""Zoos of trained networks, and networks as line graphs."""

from dery_core.zoo.architecture import build_architecture, family, member_cost
from dery_core.zoo.layout import Layout
from dery_core.zoo.layout_ops import channel_means, feature_map, from_feature_map, prefix_tokens
from dery_core.zoo.line_graph import LineGraph, Node, SizeMeasure
from dery_core.zoo.model import NOT_TOLD, UNKNOWN_TASK, ZooModel
from dery_core.zoo.zoo import EMBEDDED_ZOO, Zoo, embedded_zoo, load_zoo

# after the submodule of the same name, which importing would otherwise put in its place
from dery_core.zoo.building import line_graph, zoo_line_graph  # isort: skip
from dery_core.zoo.costs import count_macs
from dery_core.zoo.own import (
    add_checkpoint,
    add_pretrained,
    add_target,
    check_zoo,
    default_zoo,
    own_zoo_path,
    remove,
    template,
    untrained,
)

__all__ = [
    "EMBEDDED_ZOO",
    "NOT_TOLD",
    "UNKNOWN_TASK",
    "Layout",
    "LineGraph",
    "Node",
    "SizeMeasure",
    "Zoo",
    "ZooModel",
    "add_checkpoint",
    "add_pretrained",
    "add_target",
    "build_architecture",
    "channel_means",
    "check_zoo",
    "count_macs",
    "default_zoo",
    "embedded_zoo",
    "family",
    "feature_map",
    "from_feature_map",
    "line_graph",
    "load_zoo",
    "member_cost",
    "own_zoo_path",
    "prefix_tokens",
    "remove",
    "template",
    "untrained",
    "zoo_line_graph",
]
