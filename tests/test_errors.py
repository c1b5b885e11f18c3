import inspect
import re

import pytest

from seviz import errors

ALL = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.SevizError)]


@pytest.mark.parametrize("error", ALL)
def test_the_tree_in_the_docstring_is_the_tree(error: type[errors.SevizError]) -> None:
    if error is errors.SevizError:
        return
    line = next(line for line in errors.__doc__.splitlines() if re.search(rf"\b{error.__name__}\b", line))
    if error.__bases__ == (errors.SevizError,):  # a branch
        assert "(" not in line
    else:
        parent, builtin = error.__bases__
        assert f"({builtin.__name__})" in line
        assert issubclass(parent, errors.SevizError)
        assert builtin.__module__ == "builtins"


def test_exit_codes_tell_wrong_use_from_failed_work() -> None:
    failed = {error.__name__ for error in ALL if error.exit_code == 1}
    assert failed == {
        *("TooManyFailuresError", "RunIncompleteError", "DamagedRunError", "WriteError", "WorkerError"),
        "DeclarationError",
    }
    assert {error.exit_code for error in ALL} == {1, 2}
