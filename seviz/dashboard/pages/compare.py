"""Compare."""

import streamlit as st

from seviz.dashboard.view import Page, View


def page(view: View) -> None:
    st.info("Not built yet.")


PAGE = Page(title="Compare", path="compare", icon=":material/compare_arrows:", says="", how="", draw=page)
