"""How values of a score are written: some are large numbers, some lie between 0 and 1."""

from dery_core.units import quantity


def written(value: float | None) -> str:
    """Four digits, with k, M or G from 10,000 on; a dash where there is none."""
    if value is None:
        return "–"
    return quantity(value) if abs(value) >= 10_000 else _minus(f"{value:.4g}")


def difference(value: float) -> str:
    """Three digits and always a sign."""
    sign = "" if value < 0 else "+"
    return sign + (quantity(value) if abs(value) >= 10_000 else f"{value:.3g}").replace("-", "−")


def _minus(text: str) -> str:
    return text.replace("-", "−")
