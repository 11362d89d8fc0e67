"""Colours: the same for a model everywhere, and apart for every kind of eye."""

import tomllib
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from app.colours import MODEL_COLOURS, contrast, luminance, model_colour, model_colours, set_colours, text_on

# Machado and others (2009), severity 1, on linear RGB.
EYES = {
    "usual": np.eye(3),
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}
TO_LMS = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
TO_LAB = [
    [0.2104542553, 0.793617785, -0.0040720468],
    [1.9779984951, -2.428592205, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.808675766],
]


def oklab(colour: str, eye: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(EYES[eye]) @ linear, 0, 1)
    return np.array(TO_LAB) @ np.cbrt(np.array(TO_LMS) @ seen)


@pytest.mark.parametrize("eye", EYES)
def test_no_two_model_colours_are_alike_to_any_eye(eye: str) -> None:
    distances = [np.linalg.norm(oklab(a, eye) - oklab(b, eye)) for a, b in combinations(MODEL_COLOURS, 2)]
    # 0.02 is about the smallest difference one notices side by side.
    assert min(distances) > 0.06


def test_a_model_keeps_its_colour_whoever_else_is_chosen() -> None:
    names = ["a", "b", "c"]
    assert model_colours(names)["c"] == model_colour("c", names) == MODEL_COLOURS[2]


def test_more_models_than_colours_begin_again() -> None:
    names = [str(number) for number in range(40)]
    assert model_colour("16", names) == MODEL_COLOURS[0]


@pytest.mark.parametrize("eye", EYES)
def test_neighbouring_sets_are_not_alike_to_any_eye(eye: str) -> None:
    seen = [oklab(colour, eye) for colour in set_colours(12)]
    assert min(np.linalg.norm(a - b) for a, b in pairwise(seen)) > 0.05


@pytest.mark.parametrize("count", [1, 2, 4, 8, 12])
def test_sets_go_from_dark_to_light(count: int) -> None:
    shades = [luminance(colour) for colour in set_colours(count)]
    assert len(shades) == count
    assert shades == sorted(shades)
    assert len(set(shades)) == count


@pytest.mark.parametrize("colour", [*MODEL_COLOURS, *set_colours(8), *set_colours(12)])
def test_text_on_a_block_can_be_read(colour: str) -> None:
    # WCAG asks 4.5 for small text.
    assert contrast(text_on(colour), colour) >= 4.5


def test_black_and_white_have_the_largest_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_white_reads_on_the_primary_buttons_of_both_themes(theme: str) -> None:
    config = Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml"
    primary = tomllib.loads(config.read_text())["theme"][theme]["primaryColor"]
    assert contrast(primary, "#ffffff") >= 4.5
