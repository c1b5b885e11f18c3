import pytest

from seviz.classes import Classes
from seviz.errors import UnknownClassError

IMAGENET = Classes(("n01", "n02", "n03", "n04"), ("crane", "goldfish", "crane", "sea_lion"))


def test_found_by_id_or_name_whatever_the_case() -> None:
    assert IMAGENET.index("N02", "here") == 1
    assert IMAGENET.index(" Goldfish", "here") == 1
    assert IMAGENET.index("Sea Lion", "here") == 3
    assert len(IMAGENET) == 4


def test_unknown_and_ambiguous_names_are_errors() -> None:
    with pytest.raises(UnknownClassError, match=r"no class 'pug' in here; it has crane, goldfish, crane, sea_lion"):
        IMAGENET.index("pug", "here")
    with pytest.raises(UnknownClassError, match="class 'crane' is ambiguous in here; say which: n01, n03"):
        IMAGENET.index("crane", "here")


def test_a_long_list_is_cut() -> None:
    names = tuple(f"class{k}" for k in range(1000))
    with pytest.raises(UnknownClassError, match=r"class11, \.\.\.$"):
        Classes(names, names).index("pug", "here")


def test_match_needs_a_partner_for_each() -> None:
    assert Classes(("n04", "n02"), ("x", "y")).match(IMAGENET) == (3, 1)
    assert Classes(("goldfish",), ("goldfish",)).match(IMAGENET) == (1,)
    assert Classes(("goldfish", "pug"), ("goldfish", "pug")).match(IMAGENET) is None
    assert Classes(("crane",), ("crane",)).match(IMAGENET) is None
    assert Classes(("n02", "goldfish"), ("n02", "goldfish")).match(IMAGENET) is None


def test_ids_and_names_go_together() -> None:
    with pytest.raises(ValueError, match="2 ids but 1 names"):
        Classes(("a", "b"), ("a",))
