"""Figures: data in, Plotly figure (or HTML) out. No Streamlit and no torch in here."""
