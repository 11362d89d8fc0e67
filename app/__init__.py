"""The Streamlit shell of DeRy Studio: navigation, state, charts and shared widgets."""
