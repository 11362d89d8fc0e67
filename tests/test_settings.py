"""Settings of an architecture as people write them."""

from typing import Any

import pytest

from dery_core.errors import DeryError
from dery_core.settings import parse_settings


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", {}),
        ('{"img_size": 32, "depths": [2, 2]}', {"img_size": 32, "depths": [2, 2]}),
        ("img_size=32 depths=[2, 2]", {"img_size": 32, "depths": [2, 2]}),
        ("img_size = 32,depths=[2,2];", {"img_size": 32, "depths": [2, 2]}),
        ("qkv_bias=False norm=None drop_rate=1e-1", {"qkv_bias": False, "norm": None, "drop_rate": 0.1}),
        ("qkv_bias=false global_pool=avg", {"qkv_bias": False, "global_pool": "avg"}),
    ],
)
def test_json_and_name_value_mean_the_same(text: str, meant: dict[str, Any]) -> None:
    assert parse_settings(text) == meant


@pytest.mark.parametrize(
    "text",
    ["3", "[1]", "depth", "32 depth=2", "depth=", "depth=2 3", "depths=[2", "depth=2 depth=3", "{depth: 2}"],
)
def test_what_is_neither_is_one_sentence(text: str) -> None:
    with pytest.raises(DeryError, match="neither name=value") as caught:
        parse_settings(text)
    assert "\n" not in str(caught.value)
