"""What stands in for the processes of jobs."""

import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from seviz.cli import main


class Command(subprocess.Popen[bytes]):
    """In place of `python -m seviz`, which imports for seconds, a process that sleeps until it is ended.

    What it was told is done in this process, by `finish`.
    """

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self.told: Sequence[str] | None = None
        if list(command[1:4]) == ["-P", "-m", "seviz"]:
            self.told, self.environment = command[4:], options["env"]
            self.places = Path(options["stdout"].name), Path(options["stderr"].name)
            command = ["sleep", "600"]
        super().__init__(command, **options)

    def finish(self) -> None:
        """Do what it was told, and end."""
        assert self.told is not None
        code: Any = 0
        with (
            self.places[0].open("w") as out,
            self.places[1].open("w") as err,
            redirect_stdout(out),
            redirect_stderr(err),
            patch.dict(os.environ, self.environment),
            patch.object(sys, "argv", ["seviz", *self.told]),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default")
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
        self.kill()
        self.wait()
        self.returncode = code
