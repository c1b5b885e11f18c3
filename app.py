"""The dashboard: `streamlit run app.py`, or `streamlit run app.py -- RUN...`; the same as `seviz dashboard`."""

from seviz.dashboard.app import main

main()
