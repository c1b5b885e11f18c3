"""What Streamlit runs at every change; `app.py` at the top of the repository does the same."""

from seviz.dashboard.app import main

main()
