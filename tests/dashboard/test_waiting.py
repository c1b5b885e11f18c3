from streamlit.testing.v1 import AppTest


def _page() -> None:
    from types import SimpleNamespace

    import streamlit as st

    from seviz.dashboard.waiting import watch

    times = st.session_state["times"] = st.session_state.get("times", 0) + 1
    if times == 1:  # what the page knew when it began to be drawn
        watch(SimpleNamespace(state="done"))
        st.write("still watched")
    else:
        st.write("drawn anew")


def test_the_page_is_drawn_anew_when_a_job_has_ended_meanwhile() -> None:
    test = AppTest.from_function(_page).run()
    assert not test.exception, test.exception
    assert [each.value for each in test.markdown] == ["drawn anew"]
    assert test.session_state["times"] == 2
