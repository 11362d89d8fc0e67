"""`Fit`: what a seam has to bridge and what is lost there, said before anything is computed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import BlockFacts, Candidates, block_facts
from dery_core.reassembly.flow import placed_blocks
from dery_core.reassembly.seam import seam_cost
from dery_core.reassembly.stem import stem_cost, stem_grid
from dery_core.reassembly.value import HybridSpec
from dery_core.values import Value
from dery_core.zoo import Layout, LineGraph

_Pair = tuple[float, float]


@dataclass(frozen=True)
class Fit(Value):
    """One seam of a hybrid, after stage `stage`; the stem has -1.

    `resize` is the factor, for height and width, by which the grid is resized. `strides` are the
    pixels that one position spans, down and across, in the block before and in the block after, each
    in the image of its own network (in the hybrid's where the grid flows). Of the class and register
    tokens `carried` are taken over, the source's others `dropped`, the target's others `learned`.
    `reordered` says that tokens change order. `remarks` say in plain words what is lossy.
    """

    stage: int
    source: Layout
    target: Layout
    resize: _Pair
    strides: tuple[_Pair, _Pair]
    carried: int
    dropped: int
    learned: int
    reordered: bool
    params: int
    macs: int
    remarks: tuple[str, ...]

    @property
    def summary(self) -> str:
        """Grids, factor and tokens in a line, e.g. "56×56 → 14×14 (÷4), class token learned"."""
        said = [f"{_grid(self.source)} → {_grid(self.target)}{_factor(_ratio(self.source, self.target))}"]
        tokens = {"carried": self.carried, "learned": self.learned, "dropped": self.dropped}
        said += [f"{_tokens(count)} {what}" for what, count in tokens.items() if count]
        return ", ".join([*said, *(["tokens reordered"] if self.reordered else [])])


def fit_report(spec: HybridSpec, sources: Candidates | Mapping[str, LineGraph]) -> tuple[Fit, ...]:
    """A `Fit` for the stem, where there is one, and for every seam of a hybrid; no tensor is computed.

    From the line graphs of its networks by name, or from the candidates it was chosen from. DeryError
    when a block doesn't run on what a seam that doesn't resize gives it.
    """
    if isinstance(sources, Mapping):
        return fits_between(spec, built_blocks(spec, sources), placed_blocks(spec, sources))
    facts = known_blocks(spec, sources)
    if facts is None:
        raise DeryError("these candidates aren't what the hybrid was chosen from: give its line graphs.")
    return fits_between(spec, facts, facts)


def built_blocks(spec: HybridSpec, graphs: Mapping[str, LineGraph]) -> list[BlockFacts]:
    """The hybrid's blocks as they are in their own networks."""
    return [block_facts(graphs[block.model], block) for block in spec.blocks]


def known_blocks(spec: HybridSpec, candidates: Candidates) -> list[BlockFacts] | None:
    """The hybrid's blocks as the candidates know them; None when they don't tell how it is in them."""
    known = {facts.block: facts for stages in candidates.blocks for facts in stages}
    facts = [known[block] for block in spec.blocks if block in known]
    return facts if len(facts) == len(spec.blocks) and not spec.seam.flows else None


def fits_between(
    spec: HybridSpec, built: Sequence[BlockFacts], placed: Sequence[BlockFacts]
) -> tuple[Fit, ...]:
    """`fit_report` from the blocks as they are in their own networks and in the hybrid."""
    fits = [_stem_fit(spec, built[0].input, placed[0])] if spec.stem else []
    for k, (left, right) in enumerate(zip(placed, placed[1:], strict=False)):
        if not spec.seamless(k):
            fits.append(_seam_fit(spec, k, left, built[k + 1].input, right))
    return tuple(fits)


def _stem_fit(spec: HybridSpec, own: Layout, first: BlockFacts) -> Fit:
    target = first.input
    source = Layout("map", target.channels, *stem_grid(spec.source.input_size))
    count = first.block.start
    nodes = "first node is" if count == 1 else f"first {count} nodes are"
    params, macs = stem_cost(spec.source.input_size, target)
    return Fit(
        stage=-1,
        source=source,
        target=target,
        resize=_ratio(source, target),
        strides=(_stride(spec, first.block.model, source), _stride(spec, first.block.model, target)),
        carried=0,
        dropped=0,
        learned=target.prefix,
        reordered=source.order != target.order,
        params=params,
        macs=macs,
        remarks=(
            f"{first.block.model}'s own {nodes} left out: a new, untrained stem stands there",
            *_lost(source, target, _ratio(source, target)),
            *_foreign(first.block.model, own, target),
        ),
    )


def _seam_fit(spec: HybridSpec, k: int, left: BlockFacts, own: Layout, right: BlockFacts) -> Fit:
    source, target, style = left.output, right.input, spec.seam_at(k)
    across = _ratio(source, target)
    resize = (style.stride * across[0], style.stride * across[1]) if style.resize else (1.0, 1.0)
    carried = min(source.prefix, target.prefix)
    params, macs = seam_cost(source, target, style)
    return Fit(
        stage=k,
        source=source,
        target=target,
        resize=resize,
        strides=(_stride(spec, left.block.model, source), _stride(spec, right.block.model, target)),
        carried=carried,
        dropped=source.prefix - carried,
        learned=target.prefix - carried,
        reordered=source.order != target.order,
        params=params,
        macs=macs,
        remarks=(*_lost(source, target, resize), *_foreign(right.block.model, own, target)),
    )


def _lost(source: Layout, target: Layout, resize: _Pair) -> Iterator[str]:
    """What of the source doesn't reach the target, and what the target gets that isn't there."""
    merged, spread = (
        max(1.0, 1 / resize[0]) * max(1.0, 1 / resize[1]),
        max(1.0, resize[0]) * max(1.0, resize[1]),
    )
    if merged > 1:
        yield f"detail is lost: {merged:.3g} positions are averaged into one"
    if spread > 1:
        yield f"no detail is gained: one position is spread over {spread:.3g}"
    if target.channels < source.channels:
        yield f"{source.channels} channels are projected onto {target.channels}"
    if source.prefix > target.prefix:
        yield f"{_tokens(source.prefix - target.prefix)} dropped: what the source kept there is lost"
    if target.prefix > source.prefix:
        yield f"{_tokens(target.prefix - source.prefix)} learned anew: the same for every image"
    if any(part.kind == "vector" for part in target.parts):
        yield "what the next block takes without positions is the mean of a map"
    if len(target.parts) > len(source.parts):
        yield f"the {len(target.parts)} tensors that the next block takes are all made from one map"


def _foreign(model: str, own: Layout, target: Layout) -> Iterator[str]:
    """In what a block works that it wasn't built for."""
    if _grid(own) != _grid(target):
        yield f"{model}'s block was built for {_grid(own)} positions and gets {_grid(target)}"
    if own.prefix > target.prefix:
        yield f"{model}'s block was built with {'a ' * (own.prefix == 1)}{_tokens(own.prefix)} and gets none"


def _ratio(source: Layout, target: Layout) -> _Pair:
    return target.height / source.height, target.width / source.width


def _stride(spec: HybridSpec, model: str, layout: Layout) -> _Pair:
    image = spec.source if spec.seam.flows else spec.model(model)
    return image.input_size[1] / layout.height, image.input_size[2] / layout.width


def _grid(layout: Layout) -> str:
    return f"{layout.height}×{layout.width}"


def _factor(ratio: _Pair) -> str:
    said = [f"×{r:.3g}" if r >= 1 else f"÷{1 / r:.3g}" for r in ratio]
    if ratio == (1.0, 1.0):
        return ""
    return f" ({said[0]})" if said[0] == said[1] else f" ({said[0]} down, {said[1]} across)"


def _tokens(count: int) -> str:
    return "class token" if count == 1 else f"{count} class and register tokens"
