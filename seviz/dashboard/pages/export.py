"""Export."""

import streamlit as st

from seviz.dashboard.view import Page, View


def page(view: View) -> None:
    st.info("Not built yet.")


PAGE = Page(title="Export", path="export", icon=":material/download:", says="", how="", draw=page)
