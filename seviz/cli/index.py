"""The commands by name, listed without importing them: the files of `seviz.cli.commands`, and the declared tables."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from seviz.cli.former import refuse_former
from seviz.cli.reporting import reported, say, warnings_as_notes
from seviz.registry import TABLES, first_line

PANELS = {
    None: (
        *("demo", "dashboard", "blocks", "check", "zoo", "complexity", "scan", "capture", "figures", "report"),
        *("intervene", "attribute", "verify", "upgrade", "merge", "analyse"),
    ),
    "Smaller networks": ("curve", "fold", "prune"),
}
"""The order of commands, and the panel of the help that they stand in; a file that is not named here comes last."""
OF_RUN = "Tables of a run"
OF_OTHERS = "Tables of other packages"


@dataclass(frozen=True)
class Entry:
    """A command that was not imported yet.

    Attributes
    ----------
    summary
        One line, for the list of commands.
    panel
        Where it stands in that list; None for the first panel.
    function
        Imports it: gives what to call, whose signature holds its options, and its help.
    """

    summary: str
    panel: str | None
    function: Callable[[], tuple[Callable[..., Any], str]]


class Commands(Mapping[str, Any]):
    """All commands; each is imported when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        entry = self.entries[name]
        function, text = entry.function()
        app = typer.Typer(add_completion=False)
        app.command(name, help=text, rich_help_panel=entry.panel)(function)
        return typer.main.get_command(app)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        files = {path.stem: path for path in Path(__file__).with_name("commands").glob("[!_]*.py")}
        panels = {name: panel for panel, names in PANELS.items() for name in names}
        found = {
            name.replace("_", "-"): Entry(first_line(files[name].read_text("utf-8")), panels.get(name), _of_file(name))
            for name in dict.fromkeys([*panels, *sorted(files)])
        }
        with warnings_as_notes():
            tables = [name for name in TABLES if not TABLES.base(name)]
        for name in tables:
            command = name.replace("_", "-")
            panel = OF_RUN if TABLES.is_own(name) else OF_OTHERS
            found.setdefault(command, Entry(TABLES.summary(name), panel, _of_table(name)))
        return found


class Lazy(TyperGroup):
    """The group of all commands, of which a list of them imports none."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands()  # type: ignore[assignment]

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order of the help, for which what is wrong with other packages is told."""
        for name in TABLES:
            entry = self.commands.entries.get(name.replace("_", "-"))  # type: ignore[attr-defined]
            if entry and entry.panel not in (OF_RUN, OF_OTHERS):
                say(f"note: the table {name!r} is no command: there is a command of that name")
        return list(self.commands)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What a list shows of a command: not what it does, nor its options."""
        entry = self.commands.entries.get(cmd_name)  # type: ignore[attr-defined]
        return entry and TyperCommand(cmd_name, help=entry.summary, rich_help_panel=entry.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that is called."""
        refuse_former(args)
        name, _, rest = super().resolve_command(ctx, args)
        return name, self.commands[str(name)], rest

    def invoke(self, ctx: Any) -> Any:
        """Call a command; an error is one line and an exit code."""
        with reported():
            return super().invoke(ctx)


def _of_file(name: str) -> Callable[[], tuple[Callable[..., Any], str]]:
    def function() -> tuple[Callable[..., Any], str]:
        module = import_module(f"seviz.cli.commands.{name}")
        return module.command, "\n\n".join(filter(None, (module.__doc__, module.command.__doc__)))

    return function


def _of_table(name: str) -> Callable[[], tuple[Callable[..., Any], str]]:
    def function() -> tuple[Callable[..., Any], str]:
        function, text = import_module("seviz.cli.tables").command_of(name)
        return function, text

    return function
