"""A hybrid as people read it: one row a stage, and torchinfo's summary."""

from collections.abc import Sequence
from dataclasses import dataclass

from dery_core.reassembly.candidates import BlockFacts, Candidates, block_facts
from dery_core.reassembly.head import head_cost
from dery_core.reassembly.hybrid import adjoins, build_hybrid, source_graphs
from dery_core.reassembly.seam import seam_cost
from dery_core.reassembly.value import HybridSpec
from dery_core.zoo import Zoo


@dataclass(frozen=True)
class HybridRow:
    """One stage. Nodes are named as in the source network.

    `seam` is what stands after the stage, as `from → to` shapes: the stitching layer to the next
    stage, the head after the last, empty where two blocks adjoin in one model.
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


def hybrid_table(spec: HybridSpec, zoo: Zoo | None, candidates: Candidates | None = None) -> list[HybridRow]:
    """One row a stage; params and MACs of all rows add up to the hybrid's.

    With the `candidates` that the hybrid was chosen from, the figures come from there at once;
    without, its source networks are built and cut again (with random weights when `zoo` is None).
    """
    return _rows(_known_facts(spec, candidates) or _built_facts(spec, zoo), spec)


def hybrid_summary(spec: HybridSpec, depth: int = 3) -> str:
    """torchinfo's summary of the hybrid. It undercounts attention's MACs; `hybrid_table` doesn't."""
    from torchinfo import summary

    hybrid = build_hybrid(spec, zoo=None)
    size = (1, *spec.source.input_size)
    return str(summary(hybrid, size, depth=depth, device="cpu", mode="eval", verbose=0))


def _known_facts(spec: HybridSpec, candidates: Candidates | None) -> list[BlockFacts] | None:
    if candidates is None:
        return None
    known = {facts.block: facts for stages in candidates.blocks for facts in stages}
    facts = [known.get(block) for block in spec.blocks]
    return None if None in facts else [each for each in facts if each is not None]


def _built_facts(spec: HybridSpec, zoo: Zoo | None) -> list[BlockFacts]:
    graphs = source_graphs(spec, zoo)
    return [block_facts(graphs[block.model], block) for block in spec.blocks]


def _rows(facts: Sequence[BlockFacts], spec: HybridSpec) -> list[HybridRow]:
    rows = []
    for stage, each in enumerate(facts):
        following = facts[stage + 1] if stage + 1 < len(facts) else None
        seam, (params, macs) = _after(each, following, spec)
        names = (each.block.model, each.first_name, each.last_name)
        count = each.block.end - each.block.start
        rows.append(HybridRow(stage, *names, count, each.params, each.macs, seam, params, macs))
    return rows


def _after(facts: BlockFacts, following: BlockFacts | None, spec: HybridSpec) -> tuple[str, tuple[int, int]]:
    """Shapes and cost of what stands between a stage and the next, or of the head."""
    if following is None:
        return f"{facts.output} → {spec.num_classes} classes", head_cost(
            facts.output, spec.num_classes, spec.seam.head_norm
        )
    if adjoins(facts.block, following.block):
        return "", (0, 0)
    cost = seam_cost(facts.output, following.input, spec.seam)
    return f"{facts.output} → {following.input}", cost
