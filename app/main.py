"""DeRy Studio in a browser: `streamlit run app/main.py`. Navigation, and what every page shows."""

from pathlib import Path

import streamlit as st

from app import state, steps
from app.components import path

# A picture of our own: Streamlit fetches ":material/...:" icons of the browser tab from the network.
ICON = Path(__file__).resolve().parents[1] / "assets" / "icon.png"

st.set_page_config(page_title="DeRy Studio", page_icon=str(ICON), layout="wide")
st.html(Path(__file__).with_name("style.css"))
page = st.navigation(
    [
        st.Page(path.HOME.file, title="Home", default=True),
        *(st.Page(step.file, title=step.title) for step in path.STEPS),
    ],
    position="hidden",
)
if state.sync():
    steps.check_address()
    state.settle(state.get("members"), state.get("k"), tell=True)
name = page.url_path or "home"
path.header(name, steps.done(), state.notes(name))
page.run()
