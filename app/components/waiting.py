"""Waiting for long work with its progress, without a frozen page."""

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import streamlit as st

from app import work
from app.components.errors import error_box
from app.work import Fault, Work
from dery_core.errors import Cancelled, DeryError
from dery_core.progress import Progress
from dery_core.units import duration

T = TypeVar("T")

# Work that takes less than this is shown without a progress bar flashing by.
PATIENCE_SECONDS = 0.4
REDRAW_SECONDS = 0.5


def result_of(task: Work[T], key: Hashable, title: str, again: bool = True, **box: Any) -> T:
    """The value of `task`; until it is there, the page ends here with a progress bar.

    An error the work raised is shown as one sentence and ends the page here too, with a button to try
    again; without `again` there is none where the error comes from what was chosen. `box` is what
    `progress_box` is told.
    """
    value = value_of(task, key, title, again, **box)
    if value is None:
        st.stop()
    return value


def value_of(task: Work[T], key: Hashable, title: str, again: bool = True, **box: Any) -> T | None:
    """As `result_of`, but gives None where that ends the page."""
    if not task.wait(PATIENCE_SECONDS):
        progress_box(task, title, **box)
        return None
    if task.succeeded:
        return task.value()
    tell_end(task, key, title, again)
    return None


def tell_end(task: Work[Any], key: Hashable, title: str, again: bool = True) -> None:
    """Why `task` ended without a value, in one sentence, and a button to try again."""
    try:
        task.value()
    except Cancelled:
        st.info(
            "Stopped here or in another window. What was finished is kept.", icon=":material/pause_circle:"
        )
    except Fault as error:
        error_box(f"“{title.split(':')[0]}” failed: {error}")
    except DeryError as error:
        error_box(error)
        if not again:
            return
    if st.button("Try again", key="try_again", icon=":material/refresh:"):
        work.forget(key)
        st.rerun()


@st.fragment(run_every=REDRAW_SECONDS)
def progress_box(
    task: Work[T],
    title: str,
    stop: str = "Stop",
    key: str = "stop_work",
    end: Callable[[], None] | None = None,
) -> None:
    """How far `task` is, with a button that stops it; the page is drawn anew when it ends.

    The button calls `end` where cancelling is not all there is to it. Two on one page need a `key` each.
    """
    if task.finished:
        st.rerun()
    with st.container(border=True, key=f"{key}_box"):
        st.markdown(f"**{title}**")
        progress = task.progress
        if progress and progress.total > 1:
            st.progress(min(progress.done / progress.total, 1.0), text=spoken(progress))
        else:
            step = progress.step if progress else "Starting"
            st.markdown(f"{step} … {time.monotonic() - task.started:.0f} s")
        if st.button(stop, key=key, icon=":material/stop:"):
            (end or task.stop)()


def follow_quietly(task: Work[T], text: str) -> bool:
    """Say in one line that work goes on which the page doesn't need; whether it still does.

    The page is drawn anew when it ends.
    """
    # Shorter than for work that a page is about: here several may follow each other.
    if task.wait(PATIENCE_SECONDS / 4):
        return False
    _line(task, text)
    return True


@st.fragment(run_every=REDRAW_SECONDS)
def _line(task: Work[T], text: str) -> None:
    if task.finished:
        st.rerun()
    st.caption(f"{text} … {task.progress.amount if task.progress else ''}")


def spoken(progress: Progress) -> str:
    """How far, how fast, how long still."""
    text = f"{progress.step}: {progress.amount}"
    if progress.remaining is None:
        return text
    return f"{text} · {progress.speed} · about {duration(progress.remaining)} to go"
