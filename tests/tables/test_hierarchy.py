import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from seviz.classes import Classes
from seviz.errors import DataFormatError, DataNotFoundError, MissingPackageError, UnknownClassError
from seviz.tables.hierarchy import hierarchy, superclasses

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def named(*names: str) -> Classes:
    return Classes(names, names)


def test_cifar10_is_of_animals_and_vehicles() -> None:
    table = hierarchy("cifar10", named(*CIFAR10))
    animals = {"bird", "cat", "deer", "dog", "frog", "horse"}
    assert list(table.index) == list(table.columns) == list(CIFAR10)
    for one in CIFAR10:
        for other in CIFAR10:
            assert table.loc[one, other] == ((one in animals) != (other in animals))


def test_a_file_is_looked_up_by_id_and_by_name_whatever_the_case(tmp_path: Path) -> None:
    path = tmp_path / "fish.csv"
    path.write_text("note,class,superclass\nx, n01443537, fish\n,NA,dog\n,PUG_dog,dog\n,pug_DOG,dog\n,of no use,bird\n")
    classes = Classes(("n01443537", "n02110958", "n1"), ("goldfish", "pug dog", "NA"))
    assert superclasses(path, classes) == ("fish", "dog", "dog")
    assert hierarchy(path, classes).to_numpy().tolist() == [[0, 1, 1], [1, 0, 0], [1, 0, 0]]
    assert hierarchy(path, named()).empty


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,group\npug,dog\n", "has the columns 'name', 'group', expected 'class' and 'superclass'"),
        (b"", "cannot be read as CSV: No columns"),
        (b"class,superclass\npug,dog\nhake,fish,more,more\n", "cannot be read as CSV: "),
        (b"class,superclass\npug,\xff\n", "cannot be read as CSV: 'utf-8' codec can't decode"),
        (b"class,superclass\npug,\n", "has a line with class 'pug' and superclass ''; give both"),
        (b"class,superclass\npug,dog\npug,fish\n", "gives 'pug' two superclasses, 'dog' and 'fish'; keep one"),
    ],
)
def test_a_file_that_is_no_hierarchy_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match=rf"wrong\.csv {message}"):
        hierarchy(path, named("pug"))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="no file 'cifar'; a hierarchy is 'wordnet', one of 'cifar10', or a"):
        hierarchy("cifar", named("cat"))
    with pytest.raises(
        UnknownClassError, match="no superclass for 'a', 'b', 'c', 'd', 'e' and 1 more; add a line for each"
    ):
        hierarchy("cifar10", named("cat", *"abcdef"))


@dataclass(frozen=True)
class Synset:
    """As nltk has it."""

    above: tuple["Synset", ...] = ()
    instance_above: tuple["Synset", ...] = ()
    name: str = ""

    def hypernyms(self) -> tuple["Synset", ...]:
        return self.above

    def instance_hypernyms(self) -> tuple["Synset", ...]:
        return self.instance_above


def install_wordnet(
    monkeypatch: pytest.MonkeyPatch, synsets: dict[int, Synset], error: Exception | None = None
) -> None:
    class Corpus:
        def ensure_loaded(self) -> None:
            if error:
                raise error

        def synset_from_pos_and_offset(self, pos: str, offset: int) -> Synset | None:
            assert pos == "n"
            return synsets.get(offset)

    corpus = ModuleType("nltk.corpus")
    corpus.wordnet = Corpus()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nltk", ModuleType("nltk"))
    monkeypatch.setitem(sys.modules, "nltk.corpus", corpus)


def test_steps_in_wordnet_go_through_the_nearest_common_hypernym(monkeypatch: pytest.MonkeyPatch) -> None:
    thing = Synset(name="thing")
    animal = Synset((thing,), name="animal")
    pet = Synset((thing,), name="pet")
    dog = Synset((animal, pet), name="dog")
    pug = Synset((dog,), name="pug")
    goldfish = Synset((Synset((Synset((animal,), name="fish"),), name="cyprinid"), pet), name="goldfish")
    everest = Synset((), (thing,), name="everest")
    alone = Synset(name="alone")
    install_wordnet(monkeypatch, {1: dog, 2: pug, 3: goldfish, 4: everest, 5: alone})
    ids = tuple(f"n{k:08d}" for k in range(1, 6))
    table = hierarchy("wordnet", Classes(ids, ("dog", "pug", "goldfish", "everest", "alone")))
    nan = np.nan
    expected = [[0, 1, 2, 3, nan], [1, 0, 3, 4, nan], [2, 3, 0, 3, nan], [3, 4, 3, 0, nan], [nan] * 4 + [0]]
    np.testing.assert_array_equal(table.to_numpy(), expected)
    assert list(table.index) == list(ids)


def test_classes_that_are_no_synsets_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install_wordnet(monkeypatch, {1: Synset()})
    with pytest.raises(UnknownClassError, match=r"'n00000002', 'dog' are no synsets of WordNet 3\.0 such as n01443537"):
        hierarchy("wordnet", named("n00000001", "n00000002", "dog"))


def test_without_wordnet_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    install_wordnet(monkeypatch, {}, LookupError("Resource wordnet not found."))
    with pytest.raises(
        MissingPackageError, match=r"needs nltk's corpus of that name: python -m nltk\.downloader wordnet"
    ):
        hierarchy("wordnet", named("n00000001"))
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(MissingPackageError, match=r"'wordnet' needs nltk .*: pip install 'seviz\[wordnet\]'\. A CSV"):
        hierarchy("wordnet", named("n00000001"))
