"""Home: what this is, where you are on the path, one button to start."""

import streamlit as st

from app import state, steps
from app.charts.idea import idea
from app.components import path
from app.components.errors import one_sentence
from app.frames import joined

st.title("Build a network out of networks")
left, right = st.columns([5, 4], gap="large")
left.markdown(
    """
Trained networks that look nothing alike often compute the same things on the way to their answer.
DeRy Studio finds where they agree, cuts them there, and puts the pieces together again as a new
network that fits the size and speed you ask for.

1. **Zoo:** choose some trained networks, or add your own.
2. **Similarity:** see where they are alike, layer by layer.
3. **Partition:** cut each into blocks; blocks that work most alike form a set.
4. **Reassemble:** set a budget; the best hybrid takes one block of every set.
5. **Runs:** fine-tune it, and see whether it beats the networks it came from.
"""
)
right.html(idea())
with right, st.container(border=True, key="start_card"), one_sentence():
    zoo = steps.zoo()
    chosen = steps.members(zoo)
    if len(chosen) >= 2:
        st.markdown(f"You have chosen **{joined(chosen)}**.")
        path.go_on(steps.done())
    else:
        first = steps.suggested(zoo)
        st.markdown(f"**New here?** Begin with {len(first)} of the {len(zoo.models)} networks.")
        label = f"Start with {len(first)} networks"
        if st.button(label, type="primary", key="start", icon=":material/play_arrow:"):
            state.choose_members(first)
            st.switch_page(path.PAGES / "similarity.py")
    st.page_link(path.PAGES / "zoo.py", label="Choose networks yourself", icon=":material/category:")

st.caption(
    "After Deep Model Reassembly (Yang and others, NeurIPS 2022). Everything runs on this computer; what was "
    "computed is kept, so coming back costs nothing."
)
