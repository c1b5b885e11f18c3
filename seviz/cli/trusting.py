"""`--trust-code` and `--model`: the two ways to say that a spec out of a file may be acted on, for every command."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer

from seviz.errors import SevizError, TrustError
from seviz.network.trust import require_trust
from seviz.run.store import Run

TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code", help="execute the Python file, or fetch from the hub, that the run or saved network names"
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="SPEC", help="what the network is made from, instead of what the file names"),
]


class Trust(TypedDict):
    """What the person said of specs that stand in files: keywords of `seviz.load` and `reopen_network`."""

    trust_code: bool
    model: str | None


_OPTIONS: dict[str, tuple[Any, Any]] = {"trust_code": (TrustCode, False), "given_model": (Model, None)}


def trusting(command: Callable[..., None]) -> Callable[..., None]:
    """A command with both options, which it gets as one argument, `trust`.

    Of a command with a RUN, what the run names is judged before the command begins.
    """
    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name != "trust"]
    kind = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter(n, kind, default=value, annotation=hint) for n, (hint, value) in _OPTIONS.items()]

    @wraps(command)
    def wrapper(*args: Any, trust_code: bool = False, given_model: str | None = None, **kwargs: Any) -> None:
        trust = Trust(trust_code=trust_code, model=given_model)
        if "run" in kwargs and given_model is None:
            _refuse_untrusted(kwargs["run"], trust)
        command(*args, **kwargs, trust=trust)

    wrapper.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    hints = {name: hint for name, hint in command.__annotations__.items() if name != "trust"}
    wrapper.__annotations__ = hints | {name: hint for name, (hint, _) in _OPTIONS.items()}
    return wrapper


def _refuse_untrusted(run: Path, trust: Trust) -> None:
    """Raise TrustError for what opening the network of a run would raise; what else is wrong is told there."""
    try:
        manifest = Run(run).manifest
        record = manifest.model
        require_trust(
            record.spec, file=run / "manifest.json", field="model.spec", recorded=record.factory_sha256, **trust
        )
    except TrustError:
        raise
    except SevizError:
        return
