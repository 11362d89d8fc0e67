"""How values of a score are written: some are large numbers, some lie between 0 and 1."""

from dery_core.units import figure, quantity


def written(value: float | None) -> str:
    """Four digits, with k, M or G from 10,000 on; a dash where there is none."""
    return "–" if value is None else _minus(figure(value))


def difference(value: float) -> str:
    """Three digits and always a sign."""
    sign = "" if value < 0 else "+"
    return sign + _minus(quantity(value) if abs(value) >= 10_000 else f"{value:.3g}")


def _minus(text: str) -> str:
    return text.replace("-", "−")
