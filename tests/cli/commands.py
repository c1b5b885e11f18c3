"""Commands called in this process."""

from typer.testing import CliRunner, Result

from seviz.cli import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_of(*arguments: object) -> str:
    """The message of a command that must fail as wrong use: one line on stderr, nothing on stdout.

    Before it may stand which files a manifest led to.
    """
    result = run(*arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("model: ", "weights: ", "images: "))]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert "Traceback" not in result.stderr
    return lines[-1]
