"""The three views of a partition: its bars, how alike all its blocks are, how its proof went."""

import pandas as pd
import streamlit as st

from app.charts.partition import SIZE_NAMES, block_heatmap, partition_bars, set_contrast
from app.charts.proof import proof_lines
from app.components.figures import show
from app.components.proving import percent
from app.frames import block_names, bounded, joined, moved, set_frame
from dery_core.partition import Partition, block_table
from dery_core.similarity import SimilarityTable

# Of 2 at most; below this a set is one in name only.
HARDLY_ALIKE = 0.6
# So many networks are named in a sentence.
NAMED = 4


def bars_view(blocks: pd.DataFrame, partition: Partition) -> None:
    """The bar view, and in words what its numbers are."""
    free = partition.variant == "free"
    number = (
        "The number on a block is its **set**, ★ the set's anchor; only blocks of one number are exchanged"
        if free
        else "The number on a block is **S**, its similarity to the anchor ★ of its set: how alike what "
        "enters the two is, 0 to 1, plus how alike what leaves them. 2 is the most"
    )
    st.caption(f"{number}. Point at a block to see its layers, size and similarity.")
    show(
        partition_bars(blocks, partition.size, numbered=free),
        key="partition_bars",
        alt=f"{len(partition.models)} networks as bars of {partition.k} blocks, as wide as their share of "
        f"the network's {SIZE_NAMES[partition.size]} and coloured by equivalence set.",
    )
    if free:
        st.markdown(spoken_freedom(partition))
        if alone := spoken_alone(blocks):
            st.info(alone, icon=":material/link_off:")
    st.markdown(spoken_sets(blocks))
    if partition.widened:
        st.warning(spoken_widening(partition), icon=":material/open_in_full:")


def alike_view(partition: Partition, table: SimilarityTable) -> None:
    """S between all blocks, set beside set."""
    blocks = block_table(partition, table)
    sets = set_frame(blocks)
    names, anchors = block_names(partition, blocks)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        show(
            block_heatmap(blocks.values, names, blocks.sets, anchors),
            key="block_heatmap",
            alt=f"Similarity of all {len(names)} blocks to each other, ordered and outlined by set.",
        )
    with right:
        st.markdown(
            f"Two blocks of one set have S **{sets['within'].mean():.2f}** on average, two blocks of "
            f"different sets **{sets['across'].mean():.2f}**. Only blocks of one set are exchanged."
        )
        show(
            set_contrast(sets),
            key="set_contrast",
            alt="Per set, S of its blocks to each other and to others.",
        )
    st.caption(
        "Every block with every other, set after set; a set is outlined in white, its anchor is the star. "
        "Bright outside of an outline: blocks that would fit into another set almost as well."
    )


def proof_view(partition: Partition) -> None:
    """How the best found and the bound met."""
    if len(partition.trace) > 1:
        show(
            proof_lines(partition.trace),
            key="proof_lines",
            alt="The best similarity found and the bound on any, over the steps of the proof.",
        )
    else:
        st.markdown(spoken_step(partition))
    known = bounded(partition)
    objective, bound, gap = st.columns(3)
    objective.metric("Similarity in all", f"{partition.objective:.3f}", border=True)
    bound.metric("No partition exceeds", f"{partition.upper_bound:.3f}" if known else "–", border=True)
    distance = percent(partition.gap) if known else "not known yet"
    gap.metric("Gap", "proved optimal" if partition.proved else distance, border=True)
    st.caption(
        "Similarity in all is the sum of S over all blocks. The bound comes from an easier problem whose "
        "answer can only be larger: where both meet, nothing better can exist."
    )


def spoken_step(partition: Partition) -> str:
    """Why there is no line to draw of a proof of one step."""
    if partition.proved:
        return "The first bound already met the best found: a proof of **one step**, with nothing to draw."
    if not bounded(partition):
        return (
            "**No useful bound yet:** the proof hasn't come further than that no block can have more than "
            "2, so there is nothing to draw. The blocks shown are the best found so far."
        )
    return "The proof has come **one step** far: there is nothing to draw yet."


def spoken_sets(blocks: pd.DataFrame) -> str:
    """How alike the blocks of each set are to its anchor, the anchor itself left out."""
    others = blocks[~blocks["anchor"]]
    means = others.groupby("set")["similarity"].mean()
    parts = (
        f"set {number + 1} **{mean:.2f}**{' (hardly alike)' if mean < HARDLY_ALIKE else ''}"
        for number, mean in zip(means.index, means, strict=True)
    )
    return (
        f"Mean similarity to the anchor, without the anchors' own 2: {', '.join(parts)}; all sets "
        f"**{others['similarity'].mean():.2f}**. With the anchors it is {blocks['similarity'].mean():.2f} a "
        "block, the mean that is told above."
    )


def spoken_freedom(partition: Partition) -> str:
    """Whether sets follow the places in the networks where nothing forces them to."""
    count, off = partition.k * len(partition.models), moved(partition)
    free = "Here a set isn't tied to a place in the networks."
    if not off:
        return (
            f"{free} Still **all {count} blocks** sort by place: first blocks with first blocks, second with "
            "second, and so on."
        )
    return (
        f"{free} **{count - off} of {count}** blocks still sort by place: first blocks with first blocks, "
        f"and so on. The other **{off}** {'is' if off == 1 else 'are'} in sets of other places."
    )


def spoken_alone(blocks: pd.DataFrame) -> str:
    """Which sets hold blocks of one network only; nothing where none does."""
    models = blocks.groupby("set")["model"].nunique()
    alone = [str(number + 1) for number in models.index[models == 1]]
    if not alone:
        return ""
    sets = f"Set {alone[0]} holds" if len(alone) == 1 else f"Sets {joined(alone)} hold"
    return f"{sets} blocks of one network only: nothing can be exchanged there."


def spoken_widening(partition: Partition) -> str:
    """Why a limit on the size of blocks was widened, for whom and how far."""
    limits = dict(zip(partition.models, partition.limits, strict=True))
    widened = sorted(partition.widened, key=lambda name: -limits[name])
    allowed = f"below {1 + partition.epsilon:g} times the mean block (ε = {partition.epsilon:g})"
    if len(widened) == len(partition.models):
        ends = f"{limits[widened[-1]]:.2f}", f"{limits[widened[0]]:.2f}"
        times = f"{ends[0]} times" if ends[0] == ends[1] else f"{' to '.join(ends)} times"
        return (
            f"No network has {partition.k} blocks {allowed}: single nodes are too large. Each got the "
            f"smallest limit it can keep, {times} its mean block; a smaller ε would change nothing."
        )
    named = [f"{name} to {limits[name]:.2f} times" for name in widened[:NAMED]]
    if (rest := len(widened) - NAMED) > 0:
        named.append(f"{rest} other{'s' * (rest > 1)} by less")
    one = len(widened) == 1
    return (
        f"{'One network has' if one else f'{len(widened)} networks have'} no {partition.k} blocks {allowed}: "
        f"single nodes are too large. {'Its limit was' if one else 'Their limits were'} widened as little as "
        f"possible: {joined(named)}."
    )
