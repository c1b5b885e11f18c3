"""What the network of a run would execute or fetch: the dashboard does that only if it was started with --trust-code.

A run is text that anyone may have written, and whoever reaches the page can click. So a click is not enough.
"""

from seviz.dashboard.opening import TRUST
from seviz.network.trust import making, shown
from seviz.run.store import Run
from seviz.texts import command_line


def acts(run: Run) -> bool:
    """Whether to make the network of a run is to execute or fetch what it names; raises as `untrusted`."""
    return making(run.manifest.model.spec).acts


def untrusted(run: Run, *, trust_code: bool) -> str:
    """What would be executed or fetched, and how to allow it; empty where nothing is, or it was allowed.

    Parameters
    ----------
    run
        Whose network is to be made.
    trust_code
        Whether the dashboard was started so.

    Raises
    ------
    SavedNetworkError
        If the network is a saved one whose directory cannot be read.
    """
    if trust_code:
        return ""
    made = making(run.manifest.model.spec)
    if not made.acts:
        return ""
    start = command_line(["seviz", "dashboard", TRUST, str(run.path)])
    return (
        f"To run the network of this run, {shown(made.spec)}, {made.does} on the machine of this server. What a run"
        f" names is not trusted by itself: where you trust it, start the dashboard with {start}"
    )
