"""Your image."""

import streamlit as st

from seviz.dashboard.view import Page, View


def page(view: View) -> None:
    st.info("Not built yet.")


PAGE = Page(title="Your image", path="image", icon=":material/image:", says="", how="", draw=page)
