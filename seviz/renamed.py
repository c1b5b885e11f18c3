"""Arguments that changed their name or place: the old form raises, with the new one in the message."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from seviz.errors import RenamedError

F = TypeVar("F", bound=Callable[..., Any])
_PLACES = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def renamed(*, positional: str = "", **names: str) -> Callable[[F], F]:
    """Refuse the old form of some arguments of a function.

    Parameters
    ----------
    positional
        What to write in place of a positional argument that is now given by keyword; empty where there is none.
    names
        By the old keyword, what to write in its place.

    Examples
    --------
    >>> @renamed(size="example, such as (3, 224, 224)")
    ... def look(network, *, example=None): ...
    >>> look(None, size=3)
    Traceback (most recent call last):
    seviz.errors.RenamedError: look takes no size any more; give example, such as (3, 224, 224)
    """

    def decorate(function: F) -> F:
        places = sum(each.kind in _PLACES for each in inspect.signature(function).parameters.values())

        @wraps(function)
        def wrapper(*args: Any, **options: Any) -> Any:
            if positional and len(args) > places:
                raise RenamedError(
                    f"{function.__name__} takes {places} positional arguments and was given {len(args)}; give"
                    f" {positional}"
                )
            for old in names.keys() & options.keys():
                raise RenamedError(f"{function.__name__} takes no {old} any more; give {names[old]}")
            return function(*args, **options)

        return cast(F, wrapper)

    return decorate
