"""timm's pretrained networks: search, choose one, add it."""

import streamlit as st

from app import own_zoo, state
from app.components import waiting
from app.components.errors import error_box
from app.frames import counted
from dery_core.errors import Cancelled, DeryError
from dery_core.files import digest
from dery_core.units import quantity
from dery_core.zoo import Zoo
from dery_core.zoo.pretrained import Pretrained

ANY = "any"
_MILLION, _BILLION = 10**6, 10**9
PARAMS = (*(_MILLION * step for step in (1, 2, 5, 10, 20, 50, 100, 500)), None)
MACS = (*(_BILLION * step // 10 for step in (1, 2, 5, 10, 20, 50, 100, 500)), None)
ROWS, TABLE_HEIGHT = 10, 420
COLUMNS = ("name", "params", "macs", "size", "top1", "nodes", "cuttable", "family")


def choose_pretrained(zoo: Zoo, busy: bool) -> None:
    """The catalogue with its filters, and the button that adds the network chosen there."""
    every = own_zoo.catalogue()
    found = _filtered(every)
    with st.container(horizontal=True, vertical_alignment="center", key="found"):
        st.caption(f"{len(found):,} of {len(every):,} pretrained networks · MACs at the size given")
        _accuracy_offer()
    frame = own_zoo.catalogue_frame(found)
    chosen = st.dataframe(
        counted(frame),
        height=TABLE_HEIGHT if len(found) > ROWS else "content",
        hide_index=True,
        placeholder="–",
        # A figure that is known of none takes no room.
        column_order=[name for name in COLUMNS if len(found) == 0 or frame[name].notna().any()],
        on_select="rerun",
        selection_mode="single-row",
        # A selection is a row's number: another list is another table.
        key=f"catalogue_{digest(*(entry.name for entry in found))}",
        alt="timm's pretrained networks that match the filters.",
        column_config={
            "name": st.column_config.TextColumn("Name", width=300),
            "family": "Family",
            "params": "Params",
            "macs": "MACs",
            "size": "Input",
            "top1": st.column_config.NumberColumn("Top-1 %", help="On ImageNet, as timm measured it."),
            "nodes": "Nodes",
            "cuttable": "Can be cut",
        },
    )
    rows = [row for row in chosen.selection.rows if row < len(found)]
    if rows or len(found) == 1:
        _offer(found[rows[0] if rows else 0], zoo, busy)
    else:
        st.caption("Tick a row to add its network.")


def _filtered(every: tuple[Pretrained, ...]) -> tuple[Pretrained, ...]:
    text_place, family_place = st.columns([3, 2], gap="medium")
    params_place, macs_place, top1_place = st.columns(3, gap="medium")
    text = text_place.text_input("Words in its name", key="catalogue_text", placeholder="resnet18 in1k")
    families = [ANY, *sorted({entry.family for entry in every})]
    family = family_place.selectbox("Family", families, key="catalogue_family")
    max_params = params_place.select_slider(
        "Params, at most", PARAMS, None, format_func=_limit, key="catalogue_params"
    )
    max_macs = macs_place.select_slider("MACs, at most", MACS, None, format_func=_limit, key="catalogue_macs")
    known = own_zoo.have_accuracies()
    min_top1 = top1_place.slider(
        "Top-1, at least", 0, 90, 0, format="%d %%", key="catalogue_top1", disabled=not known
    )
    return own_zoo.search(
        text,
        "" if family == ANY else family,
        max_params,
        max_macs,
        min_top1 if known and min_top1 else None,
    )


def _limit(limit: int | None) -> str:
    return ANY if limit is None else quantity(limit)


def _accuracy_offer() -> None:
    """A button that fetches timm's accuracies where they are missing."""
    task = own_zoo.fetching_accuracies()
    if own_zoo.have_accuracies() and task is None:
        return
    if task is None:
        st.button(
            "Fetch timm's accuracy table",
            key="fetch_accuracies",
            icon=":material/download:",
            on_click=own_zoo.fetch_accuracies,
        )
        return
    if not task.wait(waiting.PATIENCE_SECONDS):
        waiting.progress_box(task, "Fetching timm's accuracy table", "Cancel", key="stop_accuracies")
        return
    own_zoo.forget_accuracies()
    try:
        task.value()
    except Cancelled:
        return
    except DeryError as error:
        error_box(error)
        return
    st.rerun()


def _offer(entry: Pretrained, zoo: Zoo, busy: bool) -> None:
    with st.container(border=True, key="offer"):
        size = "×".join(map(str, entry.input_size[1:]))
        facts = [entry.family, f"{entry.classes:,} classes", f"images of {size}"]
        facts += [f"{quantity(entry.params)} params"] if entry.params else []
        facts += [f"{quantity(entry.macs)} MACs"] if entry.macs else []
        st.markdown(f"**{entry.name}** · {' · '.join(facts)}")
        if entry.reason:
            st.warning(f"It can't be cut: {entry.reason}", icon=":material/block:")
        if entry.name in zoo.names:
            st.caption("It is in the zoo already.")
            return
        here = own_zoo.on_this_machine(entry.name)
        st.caption("Its weights are on this machine." if here else "Its weights are downloaded once.")
        st.button(
            "Add to my zoo",
            type="primary",
            key="add_pretrained",
            icon=":material/add:",
            disabled=busy or entry.cuttable is False,
            on_click=_add,
            args=(entry.name,),
        )


def _add(name: str) -> None:
    own_zoo.add_pretrained(name)
    state.leave_out("adding", name)
