"""Names of classes where each is told from the others."""

from seviz.classes import Classes
from seviz.dashboard.tables.class_names import distinct_names, labels_of
from seviz.tables.excitation import ALL_CLASSES


def test_classes_of_one_name_are_told_apart_by_their_ids() -> None:
    names = {"n3": "dog", "n1": "crane", "n2": "crane"}
    assert distinct_names(names) == {"n3": "dog", "n1": "crane (n1)", "n2": "crane (n2)"}
    assert distinct_names({"n1": "crane"}) == {"n1": "crane"}
    assert distinct_names({}) == {}


def test_a_name_that_is_taken_has_its_id() -> None:
    assert distinct_names({"n4": ALL_CLASSES, "n3": "dog"}, taken=[ALL_CLASSES]) == {
        "n4": "all classes (n4)",
        "n3": "dog",
    }
    assert distinct_names({"n4": ALL_CLASSES}) == {"n4": "all classes"}


def test_labels_are_in_the_order_of_the_classes() -> None:
    assert labels_of(Classes(("n1", "n2", "n3"), ("crane", "crane", "dog"))) == ["crane (n1)", "crane (n2)", "dog"]
    assert labels_of(Classes(("crane", "crane"), ("crane", "crane"))) == ["crane (crane)", "crane (crane) [2]"]
