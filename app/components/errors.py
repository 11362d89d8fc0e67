"""Turning the engine's errors into one message."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from dery_core.errors import DeryError


@contextmanager
def one_sentence() -> Iterator[None]:
    """Show a DeryError raised inside as one message; the page goes on after the block."""
    try:
        yield
    except DeryError as error:
        st.error(str(error), icon=":material/error:")
