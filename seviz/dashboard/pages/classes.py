"""Classes."""

import streamlit as st

from seviz.dashboard.view import Page, View


def page(view: View) -> None:
    st.info("Not built yet.")


PAGE = Page(title="Classes", path="classes", icon=":material/category:", says="", how="", draw=page)
