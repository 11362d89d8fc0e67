"""Zoo: choose the networks to take apart."""

import streamlit as st

from app import state, steps
from app.charts.plane import zoo_scatter
from app.colours import model_colours
from app.components import path
from app.components.errors import one_sentence
from app.components.figures import show
from app.components.zoo_table import zoo_table
from app.frames import model_frame

st.title("Choose networks")
st.markdown("These networks are trained already. Choose two or more; a hybrid takes its blocks from them.")

with one_sentence():
    zoo = steps.zoo()
    chosen = steps.members(zoo)
    for name in state.get("members"):
        with one_sentence():
            zoo.model(name)
    colours = model_colours(zoo.names)
    models = model_frame(zoo, chosen)

    with st.container(horizontal=True, key="zoo_actions", vertical_alignment="center"):
        if st.button("Choose four for me", key="choose_four", icon=":material/auto_awesome:"):
            state.choose_members(steps.suggested(zoo))
            st.rerun()
        if st.button("Clear", key="choose_none", icon=":material/close:", disabled=not chosen):
            state.choose_members(())
            st.rerun()
        st.markdown(f"**{len(chosen)}** of {len(zoo.models)} chosen", width="content")
    zoo_table(models, colours)

    if len(chosen) < 2:
        st.info("Choose at least two networks: a hybrid needs blocks from two.", icon=":material/info:")
    else:
        path.next_step("similarity", "Compare them")

    known = models.dropna(subset=["macs", "top1"])
    if len(known):
        st.subheader("Accuracy and cost")
        show(
            zoo_scatter(known, colours),
            key="zoo_scatter",
            alt="Accuracy of every zoo member over its multiply-accumulates.",
        )

    st.subheader("What they were trained on")
    for task in dict.fromkeys([*models["source_task"], steps.target_task()]):
        with one_sentence():
            samples = steps.samples(task)
            st.markdown(f"**{samples.title}** · {len(samples.classes)} classes{samples.remark}")
            with st.container(horizontal=True, gap="small"):
                for image, label in zip(samples.images, samples.labels, strict=True):
                    st.image(image, caption=label, width=76)
