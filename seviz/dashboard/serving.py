"""The command that serves the dashboard. Its settings lie in `served/.streamlit/config.toml`, beside the script."""

import sys
from collections.abc import Sequence
from pathlib import Path

from seviz.dashboard.opening import TRUST

SCRIPT = Path(__file__).parent / "served" / "app.py"


def command(
    runs: Sequence[Path], *, host: str, port: int, allowed: Sequence[str] = (), trust_code: bool = False
) -> list[str]:
    """The command that serves the dashboard.

    Parameters
    ----------
    runs
        Runs, and folders of runs; none for `runs` of this directory, with the demo run.
    host, port
        Where it listens.
    allowed
        Names by which browsers may ask for it, beside those of this machine.
    trust_code
        Whether what runs name may be executed or fetched.
    """
    options = [f"--server.address={host}", f"--server.port={port}"]
    if allowed:
        options += [f"--server.allowedHosts={name}" for name in ("localhost", "127.0.0.1", *allowed)]
    return [
        sys.executable,
        "-P",
        "-m",
        "streamlit",
        "run",
        str(SCRIPT),
        *options,
        "--",
        *([TRUST] if trust_code else []),
        *map(str, runs),
    ]
