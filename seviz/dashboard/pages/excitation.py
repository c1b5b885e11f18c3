"""Excitation."""

import streamlit as st

from seviz.dashboard.view import Page, View


def page(view: View) -> None:
    st.info("Not built yet.")


PAGE = Page(title="Excitation", path="excitation", icon=":material/show_chart:", says="", how="", draw=page)
