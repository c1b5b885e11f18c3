"""Streamlit pages over runs: `seviz dashboard`, or `streamlit run app.py`."""
