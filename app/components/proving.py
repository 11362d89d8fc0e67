"""How sure the blocks shown are, while a proof goes on; and the blocks that hybrids are made of."""

import time

import streamlit as st

from app import steps
from app.components.waiting import REDRAW_SECONDS, tell_end, value_of
from app.frames import bounded
from app.proof import Answer, Blocks, Proof
from dery_core.partition import Partition

PROVING = "Proving that no other blocks are better"


def settled_blocks(names: tuple[str, ...]) -> Partition | None:
    """The partition that hybrids are made of: what is chosen on the Partition page, when its proof has
    ended. None, with its progress on the page, until then."""
    if value_of(*steps.table(names), title="Comparing the networks") is None:
        return None
    blocks = steps.blocks(names, steps.cutting())
    if value_of(blocks.answer(), blocks.key, "Placing the cuts", again=False) is None:
        return None
    return value_of(blocks.proof(), blocks.proof_key, PROVING, stop="Use the best found", end=blocks.enough)


def proof_line(blocks: Blocks, task: Answer | Proof, partition: Partition, ended: bool) -> None:
    """What is known of `partition`, in one line: proved, or how far it may be from the best possible.

    Where `task`, its proof, hadn't `ended`, the line says that it goes on, with a button that ends it; the
    page is drawn anew when it has. A proof that failed is told, and may be tried again.
    """
    if task.failed:
        st.markdown(f":material/hourglass_disabled: {spoken_proof(partition)}")
        tell_end(task, blocks.proof_key, PROVING)
    elif not ended:
        _going_on(blocks, task, partition)
    elif partition.proved:
        st.markdown(f":material/verified: {spoken_proof(partition)}")
    else:
        with st.container(horizontal=True, vertical_alignment="center", key="proof_ended"):
            st.markdown(f":material/hourglass_disabled: {spoken_proof(partition)}")
            if st.button("Go on proving", key="go_on", icon=":material/play_arrow:"):
                blocks.go_on()
                st.rerun()


@st.fragment(run_every=REDRAW_SECONDS)
def _going_on(blocks: Blocks, task: Answer | Proof, partition: Partition) -> None:
    if task.finished:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", key="proof_going_on"):
        seconds = time.monotonic() - task.started
        st.markdown(f":material/hourglass_top: {spoken_proof(partition)} Still proving, {seconds:.0f} s.")
        if st.button("Stop", key="stop_proof", icon=":material/stop:"):
            blocks.enough()


def spoken_proof(partition: Partition) -> str:
    """Whether it is the best possible, or how far from it at most."""
    mean = partition.objective / (partition.k * len(partition.models))
    reached = f"similarity **{partition.objective:.3f}** in all, {mean:.2f} of 2 a block, anchors included"
    if partition.proved:
        return f"**Proved optimal:** {reached}. No other cuts of these networks reach more."
    if not bounded(partition):
        return f"**No useful bound yet:** {reached}; better blocks may exist."
    return (
        f"**At most {percent(partition.gap)} below the best possible:** {reached}. No cuts of these networks "
        f"exceed {partition.upper_bound:.3f}."
    )


def percent(share: float) -> str:
    """A small share with two digits that say something: "0.0031 %", "4.2 %"."""
    return f"{100 * share:.2g} %"
