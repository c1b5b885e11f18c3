"""Compression lab."""

import streamlit as st

from seviz.dashboard.view import Page, View


def page(view: View) -> None:
    st.info("Not built yet.")


PAGE = Page(
    title="Compression lab",
    path="compression",
    icon=":material/compress:",
    says="",
    how="",
    draw=page,
    short="Compression",
)
