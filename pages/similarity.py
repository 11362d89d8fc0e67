"""Similarity: where do the networks compute alike?"""

from functools import partial

import streamlit as st

from app import cuts, state, steps
from app.charts.similarity import (
    all_heatmap,
    counterparts,
    cut_plane,
    most_alike,
    pair_heatmap,
    shared_blocks,
)
from app.colours import model_colours
from app.components import path
from app.components.cut_pair import cut_pair
from app.components.errors import one_sentence
from app.components.figures import clicked, show
from app.components.waiting import result_of
from dery_core.similarity import MEASURES, SimilarityTable
from dery_core.zoo import Zoo

# Kruskal's rule of thumb: above this a plane shows roughly, not truly.
ROUGH = 0.2
SHOWN_PAIRS = 12
# The measure that blocks were exchanged by in the paper, and its other form.
PAPERS = ("cka", "rbf-cka")


def choose_view() -> str:
    """How similarities are drawn."""
    view = st.segmented_control(
        "Show",
        list(VIEWS),
        format_func=lambda view: VIEWS[view][0],
        required=True,
        key="compare",
        persist_state="session",
    )
    return view or state.COMPARE_VIEWS[0]


def choose_measure() -> None:
    """By what cuts are compared."""
    st.selectbox(
        "Measure",
        list(MEASURES),
        format_func=lambda name: MEASURES[name].title,
        key="measure",
        persist_state="session",
    )


def choose_form() -> None:
    """What few need to know or change of the measure, in a corner."""
    measure = MEASURES[state.get("measure")]
    with st.popover("Options", icon=":material/tune:", width="stretch", key="form"):
        st.toggle(
            "Unbiased",
            key="unbiased",
            persist_state="session",
            disabled=not measure.debiased,
            help="With few images and many channels, plain CKA is too high everywhere. This form isn't, and "
            "may fall a little below 0.",
        )
        st.caption(f"Where {measure.title} comes from: {measure.source}.")


def choose_images(zoo: Zoo) -> None:
    """The task whose images are shown to the networks."""
    titles = steps.probe_titles(zoo)
    st.session_state[state.PROBE_KEY] = steps.probe().task
    st.selectbox(
        "Images they look at",
        list(titles),
        format_func=titles.__getitem__,
        key=state.PROBE_KEY,
        on_change=take_images,
        help="Networks agree most on images like those they were trained on. Partition and hybrids follow.",
    )


def take_images() -> None:
    """Other images for all pages."""
    steps.choose_probe(st.session_state[state.PROBE_KEY])


def choose_pair(names: tuple[str, ...]) -> tuple[str, str]:
    """The two networks that the address names, the first two without."""
    kept = (state.get("rows"), state.get("columns"))
    pair = [name if name in names else names[number] for number, name in enumerate(kept)]
    # Set in every run: the browser misses what a run sets that another interrupts.
    st.session_state[state.ROW_KEY], st.session_state[state.COLUMN_KEY] = pair
    left, right = st.columns(2)
    left.selectbox("Rows", names, key=state.ROW_KEY, on_change=take_pair)
    right.selectbox("Columns", names, key=state.COLUMN_KEY, on_change=take_pair)
    return pair[0], pair[1]


def take_pair() -> None:
    """Two other networks: the chosen cell was of those before."""
    open_pair(st.session_state[state.ROW_KEY], st.session_state[state.COLUMN_KEY])


def open_pair(row_model: str, column_model: str) -> None:
    """Show these two, without a chosen cell."""
    st.session_state["rows"], st.session_state["columns"] = row_model, column_model
    st.session_state["compare"], st.session_state["cell"] = "pair", None


def take_cell(key: str) -> None:
    """The cell that was clicked in the figure `key`; letting it go by a second click changes nothing."""
    if point := clicked(key):
        st.session_state["cell"] = int(point["y"]), int(point["x"])


def take_models() -> None:
    """Two networks that were clicked in the picture of all."""
    if point := clicked("all_heatmap"):
        open_pair(*point["customdata"])


def look_at(cell: tuple[int, int]) -> None:
    """Choose a cell."""
    st.session_state["cell"] = cell


def two_networks(zoo: Zoo, names: tuple[str, ...], table: SimilarityTable) -> None:
    """A heatmap, and beside it what is behind the chosen cell."""
    with st.container(key="pair_view"):
        left, right = st.columns([7, 6], gap="medium")
    with left:
        row_model, column_model = choose_pair(names)
    index, values = table.index, table.between(row_model, column_model)
    rows, columns = index[index["model"] == row_model], index[index["model"] == column_model]
    measure = table.comparison.title
    cell = state.get("cell")
    if cell is not None and (cell[0] >= len(rows) or cell[1] >= len(columns)):
        cell = None
    partition = steps.blocks(names, steps.cutting()).best()
    outlines = shared_blocks(partition, row_model, column_model) if partition else []
    with left, st.container(key="pair_heatmap"):
        # A figure for each pair: the browser keeps what is selected, which means another cell elsewhere.
        key = f"cells_{row_model}_{column_model}"
        show(
            pair_heatmap(values, rows, columns, measure, outlines, cell),
            key=key,
            alt=f"{measure} between every cut of {row_model} and every cut of {column_model}.",
            on_click=partial(take_cell, key),
        )
        if outlines:
            st.caption(
                "A frame holds two blocks of one set, as cut on the page Partition. Its first and last "
                "corner say how alike they are: what enters both, and what leaves both."
            )
    with right, st.container(key="cut_pair"), one_sentence():
        if cell is not None:
            chosen = rows.head(cell[0] + 1), columns.head(cell[1] + 1)
            cut_pair(zoo, *chosen, float(values[cell]), measure, model_colours(zoo.names))
            return
        st.info("Click a cell to see its two layers and what they make of the same images.")
        best = most_alike(values, row_model == column_model)
        if best:
            st.markdown(
                f"Most alike besides the input: {row_model} cut {best[0]} and {column_model} cut {best[1]}, "
                f"{measure} {best[2]:.2f}."
            )
            st.button(
                "Look there", key="look_there", icon=":material/zoom_in:", on_click=look_at, args=(best[:2],)
            )


def all_networks(zoo: Zoo, names: tuple[str, ...], table: SimilarityTable) -> None:
    """Every cut of every network with every other."""
    measure = table.comparison.title
    with st.container(key="all_view"):
        left, right = st.columns([11, 6], gap="medium")
    with left:
        show(
            all_heatmap(table.values, table.index, measure),
            key="all_heatmap",
            alt=f"{measure} between all cuts of all {len(names)} networks.",
            on_click=take_models,
        )
    right.caption(
        "Every network from the image (left, top) to its last cut (right, bottom), all drawn equally wide. "
        "Click the square of two networks to look closer."
    )
    pairs = counterparts(table.values, table.index)
    right.markdown(spoken_pairs(len(pairs)))
    right.dataframe(
        pairs.head(SHOWN_PAIRS),
        hide_index=True,
        height="content",
        key="counterparts",
        alt="Pairs of networks, the most alike first.",
        column_config={
            "pair": "Networks",
            "alike": st.column_config.ProgressColumn(
                "Alike",
                min_value=0,
                max_value=1,
                format="%.2f",
                width="small",
            ),
        },
    )


def spoken_pairs(count: int) -> str:
    """What is listed of `count` pairs of networks, and by what number."""
    listed = f"The {SHOWN_PAIRS} most alike of {count} pairs" if count > SHOWN_PAIRS else "All pairs"
    return (
        f'**{listed}.** "Alike" is the mean best match: every cut is held against the one most alike in '
        "the other network, and the mean is taken over the cuts of both."
    )


def map_of_cuts(zoo: Zoo, names: tuple[str, ...], table: SimilarityTable) -> None:
    """All cuts as points, the more alike the nearer."""
    plane = result_of(*cuts.plane(names), title="Laying out the cuts")
    show(
        cut_plane(plane.points, table.index, model_colours(zoo.names)),
        key="cut_plane",
        alt=f"The cuts of {len(names)} networks as paths through a plane, from the image to their last cuts.",
    )
    how = "Read it as a sketch" if plane.stress > ROUGH else "Distances are about right"
    st.caption(
        "Each path is a network, from the image to its last cut (square): the more alike, the nearer. "
        f"{how}: a plane can't show all distances at once (stress {plane.stress:.2f}; 0 would be exact). "
        "A click on a name hides its path, a double click all others."
    )


VIEWS = {
    "pair": ("Two networks", two_networks),
    "all": ("All networks", all_networks),
    "map": ("Map of cuts", map_of_cuts),
}


def reading(view: str, measure: str) -> str:
    """What the figure of `view` says about exchanging blocks, by `measure`."""
    if view == "map":
        return ""
    if measure in PAPERS:
        return " **Where it is bright, two networks can exchange blocks.**"
    return " Where it is bright, two networks compute alike by this measure; blocks are cut by what it says."


st.title("Where do they agree?")
st.markdown(
    "Every network looks at the same images. At every cut – after each of its nodes – we note what it "
    f"computed, and compare.{reading(state.get('compare'), state.get('measure'))}"
)

with one_sentence():
    zoo = steps.zoo()
    names = steps.members(zoo)
    if len(names) < 2:
        path.first_do("zoo", "Choose at least two networks first.")
    with st.container(key="similarity_controls"):
        places = st.columns([5, 4, 4, 2])
    with places[0]:
        view = choose_view()
    with places[1]:
        choose_measure()
    with places[2]:
        choose_images(zoo)
    with places[3]:
        choose_form()
    measure = MEASURES[state.get("measure")]
    st.caption(f"**{measure.title}.** {measure.sentence}")
    table = result_of(*steps.table(names), title="Comparing the networks")
    VIEWS[view][1](zoo, names, table)
    st.caption(
        f"{len(table.index)} cuts of {len(names)} networks on {table.probe.count} images of the task "
        f"{table.probe.task}. Cut 0 is the image itself."
    )
    path.next_step("partition", "Cut them into blocks")
