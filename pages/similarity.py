"""Similarity: where do the networks compute alike?"""

import streamlit as st

from app import state, steps
from app.charts.similarity import all_heatmap, most_alike, pair_heatmap
from app.components import path
from app.components.errors import one_sentence
from app.components.figures import show
from app.components.waiting import result_of

st.title("Where do they agree?")
st.markdown(
    "Every network looks at the same images. At every cut – after each of its nodes – we note what it "
    "computed, and compare: **CKA is 1 when two cuts hold the same information up to rotation and "
    "scale, and near 0 when they share none.** Where it is bright, two networks can exchange blocks."
)

with one_sentence():
    zoo = steps.zoo()
    names = steps.members(zoo)
    if len(names) < 2:
        path.first_do("zoo", "Choose at least two networks first.")
    left, right = st.columns(2)
    view = left.segmented_control(
        "Show",
        ["Two networks", "All networks"],
        default="Two networks",
        required=True,
        key="similarity_view",
        persist_state="session",
    )
    titles = steps.probe_titles(zoo)
    st.session_state.setdefault(state.PROBE_KEY, steps.probe().task)
    chosen = right.selectbox(
        "Images they look at",
        list(titles),
        format_func=titles.__getitem__,
        key=state.PROBE_KEY,
        help="Networks agree most on images like those they were trained on. Partition and hybrids follow.",
    )
    steps.choose_probe(chosen)
    table = result_of(*steps.table(names), title="Comparing the networks")
    if view == "Two networks":
        left, right = st.columns(2)
        row_model = left.selectbox("Rows", names, index=0, key="row_model", persist_state="session")
        column_model = right.selectbox("Columns", names, index=1, key="column_model", persist_state="session")
        index, values = table.index, table.between(row_model, column_model)
        show(
            pair_heatmap(
                values,
                index[index["model"] == row_model],
                index[index["model"] == column_model],
                row_model,
                column_model,
            ),
            key="pair_heatmap",
            alt=f"CKA between every cut of {row_model} and every cut of {column_model}.",
        )
        best = most_alike(values, row_model == column_model)
        if best:
            st.markdown(
                f"Most alike besides the input: {row_model} cut {best[0]} and {column_model} cut {best[1]}, "
                f"CKA {best[2]:.2f}."
            )
    else:
        show(all_heatmap(table.values, table.index), key="all_heatmap", alt="CKA between all cuts.")
    st.caption(
        f"{len(table.index)} cuts of {len(names)} networks on {table.probe.count} images of the task "
        f"{table.probe.task}. Cut 0 is the image itself."
    )
    path.next_step("partition", "Cut them into blocks")
