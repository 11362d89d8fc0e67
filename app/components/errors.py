"""Turning the engine's errors into one message."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from dery_core.errors import DeryError

# Other first words may be the name of a network or a field, which keeps its own spelling.
_PLAIN_STARTS = ("a", "an", "every", "no", "the", "these", "this")


@contextmanager
def one_sentence() -> Iterator[None]:
    """Show a DeryError raised inside as one message; the page goes on after the block."""
    try:
        yield
    except DeryError as error:
        error_box(error)


def error_box(error: DeryError | str) -> None:
    """The message as a sentence of its own, in a red box."""
    st.error(as_sentence(str(error)), icon=":material/error:")


def as_sentence(text: str) -> str:
    """`text` with a capital first letter, unless it begins with a name."""
    return text[:1].upper() + text[1:] if text.split(" ", 1)[0] in _PLAIN_STARTS else text
