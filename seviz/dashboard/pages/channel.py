"""Channel."""

import streamlit as st

from seviz.dashboard.view import Page, View


def page(view: View) -> None:
    st.info("Not built yet.")


PAGE = Page(title="Channel", path="channel", icon=":material/tune:", says="", how="", draw=page)
