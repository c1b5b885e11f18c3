import doctest
import inspect

import pytest

import seviz.renamed
from seviz.errors import OptionError, RenamedError
from seviz.renamed import renamed


@renamed(positional="size=", width="size=, in pixels", height="size=, in pixels")
def look(network: str, *, size: int = 1) -> tuple[str, int]:
    """Looks."""
    return network, size


def test_the_new_form_is_as_before() -> None:
    assert look("a", size=3) == ("a", 3)
    assert look(network="a") == ("a", 1)
    assert (look.__name__, look.__doc__) == ("look", "Looks.")
    assert list(inspect.signature(look).parameters) == ["network", "size"]


def test_the_former_form_says_the_new_one() -> None:
    for old in ("width", "height"):
        with pytest.raises(OptionError, match=f"look takes no {old} any more; give size=, in pixels"):
            look("a", **{old: 3})
    with pytest.raises(RenamedError, match="look takes 1 positional arguments and was given 2; give size="):
        look("a", 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="deep"):  # which never was a name
        look("a", deep=3)  # type: ignore[call-arg]


def test_the_example_is_true() -> None:
    assert doctest.testmod(seviz.renamed, optionflags=doctest.IGNORE_EXCEPTION_DETAIL).failed == 0
