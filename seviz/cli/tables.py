"""Tables as commands, made from their declarations: arguments and options are the parameters of the function.

`NAME_by_X` is `--by X` of the command NAME, which has the options of all of them.
"""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pandas as pd
import typer
from rich.markup import escape

import seviz
from seviz.cli import options
from seviz.cli.printing import print_table
from seviz.errors import DeclarationError, OptionError
from seviz.lists import HOW, split_list
from seviz.registry import TABLES, Table
from seviz.run.store import Run
from seviz.tables.kept import table_of

_SECTION = re.compile(r"\n\n(?=\w[\w ]*\n-{3})")
_AS_IN = re.compile(r"As (?:in|of) `(\w+)`")
_MISSING = inspect.Parameter.empty


@dataclass(frozen=True, kw_only=True)
class Taken:
    """How a parameter is taken on the command line.

    Attributes
    ----------
    hint
        Type, for typer.
    value
        Gives the argument of the function, from the parameter's name and what was given.
    choices
        What can be given; anything where empty.
    note
        How to give it, for the help.
    """

    hint: Any
    value: Callable[[str, Any], Any] = lambda name, given: given
    choices: tuple[str, ...] = ()
    note: str = ""


RUN = Taken(hint=Path, value=lambda name, given: seviz.open_run(given), note="its directory")


def command_of(name: str) -> tuple[Callable[..., None], str]:
    """The command of a table and its variants, and its help."""
    ways = ways_of(name)
    usual = next(iter(ways))
    taken: dict[str, Taken] = {}
    shown: list[inspect.Parameter] = []
    for way in ways.values():
        told = described(way)
        for key, parameter in way.parameters.items():
            if key == "by" or key in taken or (how := taken_as(way, parameter)) is None:
                continue
            taken[key] = how
            always = all(_required(each, key) for each in ways.values())
            shown.append(_shown(parameter, how, told.get(key, ""), first=not shown, always=always))
    if len(ways) > 1:
        shown.append(_parameter("by", str, typer.Option(help="Rows of the table", metavar=_listed(ways)), usual))
    added: dict[str, Any] = {"as_json": (options.Json, False), "as_csv": (options.Csv, False)}
    if not {"block", "blocks"} & taken.keys() and any("block" in way.columns for way in ways.values()):
        taken["blocks"] = Taken(hint=list[str], value=_texts)
        added["blocks"] = (options.Blocks, None)
    shown += [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)
        for key, (hint, default) in added.items()
    ]

    def command(context: typer.Context, as_json: bool, as_csv: bool, by: str = usual, **given: Any) -> None:
        _check("by", by, ways)
        wanted = {}
        for key, value in given.items():
            if getattr(context.get_parameter_source(key), "name", "") == "DEFAULT":
                continue
            if key not in ways[by].parameters and key != "blocks":
                places = " or ".join(f"--by {each}" for each in ways if key in ways[each].parameters)
                raise OptionError(f"{_option(key)} is for {places}, not for --by {by}")
            _check(key, value, taken[key].choices)
            wanted[key] = taken[key].value(key, value)
        for key in ways[by].parameters:
            if _required(ways[by], key) and key not in wanted:
                raise OptionError(f"{_option(key)} is missing, which --by {by} needs")
        only = None if "blocks" in ways[by].parameters else wanted.pop("blocks", None)
        table = table_of(wanted.pop(next(iter(ways[by].parameters))), ways[by].name, **wanted)
        print_table(table if only is None else _rows_of(table, only), as_json=as_json, as_csv=as_csv)

    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    command.__signature__ = inspect.Signature([context, *shown])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in (context, *shown)}
    return command, escape(_SECTION.split(inspect.getdoc(ways[usual].function) or "")[0])


def ways_of(name: str) -> Mapping[str, Table]:
    """A table and its variants, by what their rows are of; the table itself first."""
    table = TABLES[name]
    variants = {each.removeprefix(f"{name}_by_"): TABLES[each] for each in TABLES if TABLES.base(each) == name}
    return {table.key[-1] if table.key else "row": table, **variants}


def described(table: Table) -> Mapping[str, str]:
    """What the docstring of a table says of its parameters, by name."""
    sections = _SECTION.split(inspect.getdoc(table.function) or "")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in next((each.splitlines()[2:] for each in sections if each.startswith("Parameters\n")), []):
        if line and not line.startswith(" "):
            names = line.partition(" : ")[0].split(", ")
        else:
            found |= {name: f"{found.get(name, '')} {line.strip()}".strip() for name in names}
    for name, text in found.items():
        if (other := _AS_IN.match(text)) and other[1] in TABLES:
            found[name] = described(TABLES[other[1]]).get(name, text)
    return found


def taken_as(table: Table, parameter: inspect.Parameter) -> Taken | None:
    """How a parameter is taken on the command line; None where it cannot be, and need not be given."""
    hint = parameter.annotation
    if isinstance(hint, str):  # as under `from __future__ import annotations`
        hint = eval(hint, getattr(table.function, "__globals__", {}))
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    texts = tuple(text for kind in kinds if get_origin(kind) is Literal for text in get_args(kind))
    if Run in kinds or parameter.name == next(iter(table.parameters)):
        return RUN
    if int in kinds and texts:
        return Taken(hint=str, value=_number_or_text, note=f"or {', '.join(texts)}")
    if texts:
        return Taken(hint=str, choices=texts)
    for kind in kinds:
        if get_origin(kind) in (Sequence, list, tuple):
            return Taken(hint=list[str], value=_numbers if int in get_args(kind) else _texts, note=HOW)
        if kind in (bool, int, float, str):
            if NoneType not in kinds or parameter.default is None:
                return Taken(hint=kind)
            return Taken(hint=kind, value=_unless_none, note="or none")
    if parameter.default is _MISSING:
        raise DeclarationError(
            f"the table {table.name!r} is no command: its parameter {parameter.name!r} has no default, and is no run,"
            " text, number or list"
        )
    return None


def _shown(parameter: inspect.Parameter, taken: Taken, told: str, *, first: bool, always: bool) -> inspect.Parameter:
    """The argument or option of a command for a parameter of its function."""
    help = escape("; ".join(filter(None, (told.rstrip("."), taken.note))))
    if always or taken is RUN:
        name = "RUN" if first else parameter.name.upper()
        argument = typer.Argument(metavar=name if always else f"[{name}]", help=help)
        return _parameter(parameter.name, taken.hint, argument, _MISSING if always else None)
    metavar = _listed(taken.choices) if taken.choices else None
    default = None if parameter.default is _MISSING else parameter.default
    return _parameter(parameter.name, taken.hint, typer.Option(help=help, metavar=metavar), default)


def _parameter(name: str, hint: Any, shown: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[hint, shown], default=default)


def _required(table: Table, key: str) -> bool:
    return key in table.parameters and table.parameters[key].default is _MISSING


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _listed(choices: Iterable[str]) -> str:
    return f"[{'|'.join(choices)}]"


def _check(name: str, value: Any, choices: Collection[str]) -> None:
    if choices and value not in choices:
        raise OptionError(f"{name} is {value!r}, expected one of {', '.join(choices)}")


def _unless_none(name: str, given: Any) -> Any:
    return None if given == "none" else given


def _number_or_text(name: str, given: str) -> int | str:
    return int(given) if given.isdecimal() else given


def _texts(name: str, given: Sequence[str]) -> list[str]:
    return split_list(given) or []


def _numbers(name: str, given: Sequence[str]) -> list[int]:
    parts = _texts(name, given)
    if not all(part.isdecimal() for part in parts):
        raise OptionError(f"{name} is {','.join(given)!r}, expected whole numbers with commas between them")
    return [int(part) for part in parts]


def _rows_of(table: pd.DataFrame, blocks: Sequence[str]) -> pd.DataFrame:
    unknown = [block for block in blocks if block not in set(table["block"])]
    if unknown:
        raise OptionError(f"no block {unknown[0]!r}; there are {', '.join(table['block'].unique())}")
    return table[table["block"].isin(blocks)]
