"""One colour per model and one per equivalence set, the same on every page.

Models get categorical colours by their place in the zoo file; sets get an ordered ramp, because
they follow the depth of the networks. The model colours were chosen so that every two of them stay
apart under protanopia, deuteranopia and tritanopia; a name always stands beside the colour.
"""

from collections.abc import Sequence

MODEL_COLOURS = (
    "#622386", "#f6c835", "#9d92de", "#bb4717", "#8a0700", "#d5c2fb", "#4ec5b1", "#c47d04",
    "#1f7265", "#86e79c", "#5c77df", "#63579d", "#b2b45e", "#2e4d57", "#6b9d75", "#96719e",
)  # fmt: skip

# Dark blue to light yellow, ever lighter: readable without hue. Twelve of it stay apart for every eye.
SET_RAMP = ("#14294e", "#16418e", "#20777b", "#47a160", "#babf49", "#e1e67f")

ACCENT = "#d1495b"
NEUTRAL = "#8a94a3"
DARK, LIGHT = "#0b0f16", "#ffffff"


def model_colour(name: str, names: Sequence[str]) -> str:
    """Colour of the model `name` of a zoo whose models are `names`, in the zoo's order."""
    return MODEL_COLOURS[list(names).index(name) % len(MODEL_COLOURS)]


def model_colours(names: Sequence[str]) -> dict[str, str]:
    """Colour of every model of a zoo."""
    return {name: model_colour(name, names) for name in names}


def set_colours(count: int) -> list[str]:
    """`count` colours for the equivalence sets 0 .. count - 1, dark to light."""
    if count == 1:
        return [SET_RAMP[0]]
    step = (len(SET_RAMP) - 1) / (count - 1)
    return [_ramp(index * step) for index in range(count)]


def text_on(colour: str) -> str:
    """Dark or light text, whichever reads better on `colour`."""
    return max(DARK, LIGHT, key=lambda text: contrast(text, colour))


def contrast(first: str, second: str) -> float:
    """WCAG contrast ratio of two colours, 1 to 21."""
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """WCAG relative luminance, 0 (black) to 1 (white)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def _ramp(position: float) -> str:
    low = min(int(position), len(SET_RAMP) - 2)
    part = position - low
    pairs = zip(_rgb(SET_RAMP[low]), _rgb(SET_RAMP[low + 1]), strict=True)
    return "#" + "".join(f"{round(255 * (a + (b - a) * part)):02x}" for a, b in pairs)
