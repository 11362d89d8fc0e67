"""A hybrid as people read it: one row a stage, and torchinfo's summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dery_core.reassembly.candidates import BlockFacts, Candidates
from dery_core.reassembly.fit import Fit, built_blocks, fits_between, known_blocks
from dery_core.reassembly.flow import placed_blocks
from dery_core.reassembly.head import head_cost
from dery_core.reassembly.hybrid import build_hybrid, source_graphs
from dery_core.reassembly.value import HybridSpec
from dery_core.zoo import LineGraph, Zoo


@dataclass(frozen=True)
class HybridRow:
    """One stage. Nodes are named as in the source network.

    `seam` is what stands after the stage, as `from → to` shapes: the stitching layer to the next
    stage, the head after the last, empty where two blocks adjoin in one model; `fit` says what a
    stitching layer bridges. A new stem is a row of its own before stage 0, without a model.
    """

    stage: int
    model: str
    first_node: str
    last_node: str
    nodes: int
    params: int
    macs: int
    seam: str
    seam_params: int
    seam_macs: int
    fit: Fit | None = None


def hybrid_table(spec: HybridSpec, zoo: Zoo | None, candidates: Candidates | None = None) -> list[HybridRow]:
    """One row a stage; params and MACs of all rows add up to the hybrid's.

    With the `candidates` that the hybrid was chosen from, the figures come from there at once;
    without, its source networks are built and cut again (with random weights when `zoo` is None).
    """
    known = None if candidates is None else known_blocks(spec, candidates)
    if known is not None:
        return _rows(spec, known, known)
    graphs = source_graphs(spec, zoo)
    return _rows(spec, built_blocks(spec, graphs), placed_blocks(spec, graphs))


def priced(spec: HybridSpec, graphs: Mapping[str, LineGraph]) -> HybridSpec:
    """The hybrid with its params and MACs, in closed form from the line graphs of its networks."""
    rows = _rows(spec, built_blocks(spec, graphs), placed_blocks(spec, graphs))
    params = sum(row.params + row.seam_params for row in rows)
    return replace(spec, params=params, macs=sum(row.macs + row.seam_macs for row in rows))


def hybrid_summary(spec: HybridSpec, depth: int = 3) -> str:
    """torchinfo's summary of the hybrid. It undercounts attention's MACs; `hybrid_table` doesn't."""
    from torchinfo import summary

    hybrid = build_hybrid(spec, zoo=None)
    size = (1, *spec.source.input_size)
    return str(summary(hybrid, size, depth=depth, device="cpu", mode="eval", verbose=0))


def _rows(spec: HybridSpec, built: Sequence[BlockFacts], placed: Sequence[BlockFacts]) -> list[HybridRow]:
    fits = {fit.stage: fit for fit in fits_between(spec, built, placed)}
    rows = [_stem_row(fits[-1])] if spec.stem else []
    for stage, facts in enumerate(placed):
        last = stage + 1 == len(placed)
        seam, params, macs = _head(spec, facts) if last else _seam(fits.get(stage))
        names = (facts.block.model, facts.first_name, facts.last_name)
        count = facts.block.end - facts.block.start
        cost = (facts.params, facts.macs)
        rows.append(HybridRow(stage, *names, count, *cost, seam, params, macs, fits.get(stage)))
    return rows


def _stem_row(fit: Fit) -> HybridRow:
    return HybridRow(-1, "", "new stem", "new stem", 1, fit.params, fit.macs, "", 0, 0, fit)


def _seam(fit: Fit | None) -> tuple[str, int, int]:
    return ("", 0, 0) if fit is None else (f"{fit.source} → {fit.target}", fit.params, fit.macs)


def _head(spec: HybridSpec, facts: BlockFacts) -> tuple[str, int, int]:
    cost = head_cost(facts.output, spec.num_classes, spec.seam.head_norm)
    return f"{facts.output} → {spec.num_classes} classes", *cost
