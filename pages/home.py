"""Home: what this is, where you are on the path, one button to start."""

import streamlit as st

from app import state, steps
from app.components import path
from app.components.errors import one_sentence

st.title("Build a network out of networks")
st.markdown(
    "Trained networks that look nothing alike often compute the same things on the way to their answer. "
    "DeRy Studio finds where they agree, cuts them there, and puts the pieces together again as a new "
    "network that fits the size and speed you ask for."
)

left, right = st.columns([3, 2], gap="large")
with left:
    st.html(
        """<ol class="dery-steps">
        <li><b>Zoo</b> – choose some trained networks.</li>
        <li><b>Similarity</b> – see how alike they are, layer by layer.</li>
        <li><b>Partition</b> – cut each into blocks; blocks that do the same job form a set.</li>
        <li><b>Reassemble</b> – set a budget; the best hybrid takes one block of every set.</li>
        <li><b>Runs</b> – fine-tune it and see whether it beats the networks it came from.</li>
        </ol>"""
    )
with right, st.container(border=True, key="start_card"):
    chosen = state.get("members")
    if len(chosen) >= 2:
        st.markdown(f"**You have chosen {len(chosen)} networks:** {', '.join(chosen)}.")
        path.next_step("similarity", "Go on to Similarity")
    else:
        st.markdown("**New here?** Start with four networks of four different families.")
        with one_sentence():
            zoo = steps.zoo()
            if st.button(
                "Start with four networks", type="primary", key="start", icon=":material/play_arrow:"
            ):
                state.choose_members(steps.suggested(zoo))
                st.switch_page(path.PAGES / "similarity.py")
    st.page_link(path.PAGES / "zoo.py", label="Choose networks yourself", icon=":material/category:")

st.caption(
    "After Deep Model Reassembly (Yang and others, NeurIPS 2022). Everything runs on this computer; "
    "what was computed is kept, so coming back costs nothing."
)
