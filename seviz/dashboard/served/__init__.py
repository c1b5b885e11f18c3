"""What Streamlit is started with: a script and its settings; apart, since Streamlit would take `pages` beside it."""
