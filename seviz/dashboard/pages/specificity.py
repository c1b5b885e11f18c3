"""Specificity by depth."""

import streamlit as st

from seviz.dashboard.view import Page, View


def page(view: View) -> None:
    st.info("Not built yet.")


PAGE = Page(
    title="Specificity by depth",
    path="specificity",
    icon=":material/stacked_line_chart:",
    says="",
    how="",
    draw=page,
    short="Specificity",
)
