from typing import Any

import pytest

from seviz.errors import OptionError
from seviz.network.settings import Settings, model_kwargs_of


def test_what_was_said_comes_back_from_json() -> None:
    settings = Settings.of(
        num_classes=5, img_size=64, mean=[0.5], std=[0.25], class_names=["a", "b"], model_kwargs={"drop_rate": 0.1}
    )
    assert settings.img_size == (64, 64)
    given = settings.given()
    assert given == {
        "num_classes": 5,
        "img_size": [64, 64],
        "mean": [0.5],
        "std": [0.25],
        "class_names": ["a", "b"],
        "model_kwargs": {"drop_rate": 0.1},
    }
    assert Settings.from_given(given) == settings
    assert Settings().given() == {}
    assert Settings.from_given({}) == Settings()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"num_classes": 0}, "num_classes is 0, expected a whole number from 1 to 131,072"),
        ({"num_classes": True}, "num_classes is True"),
        ({"in_chans": 1.5}, "in_chans is 1.5, expected a whole number"),
        ({"img_size": 0}, r"img_size is \(0, 0\), expected pixels of a side, or \(height, width\)"),
        ({"img_size": (3, 32, 32)}, r"img_size is \(3, 32, 32\)"),
        ({"mean": []}, r"mean is \(\), expected a number for each channel"),
        ({"mean": ["a"]}, "mean is"),
        ({"mean": 0.5}, "0.5 is one value, expected several"),
        ({"mean": [float("nan")]}, "mean is"),
        ({"std": [0.1, 0]}, "std is .*expected numbers greater than 0"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic', expected one of nearest, bilinear, bicubic"),
        ({"crop_pct": 1.1}, r"crop_pct is 1.1, expected a share in \(0, 1\]"),
        ({"ema": "always"}, "ema is 'always', expected one of auto, yes, no"),
        ({"class_names": "cat"}, "class_names is 'cat', expected a list of names"),
        ({"class_names": [1]}, "class_names holds something else than names"),
        ({"num_classes": 10**9}, "num_classes is 1000000000, expected"),
        ({"img_size": 10**6}, "img_size is .*each from 1 to 16,384"),
        (
            {"model_kwargs": {"checkpoint_path": "/a"}},
            "model_kwargs has 'checkpoint_path', which is no argument of the",
        ),
        ({"model_kwargs": {"pretrained_cfg": {}}}, "model_kwargs has 'pretrained_cfg'"),
        ({"model_kwargs": {1: 2}}, "model_kwargs is {1: 2}, expected arguments by name"),
        ({"colour": 3}, "there is no setting 'colour', expected some of num_classes, in_chans"),
    ],
)
def test_settings_outside_their_range(said: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Settings.from_given(said)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a=1", "b=0.5 c=relu"], {"a": 1, "b": 0.5, "c": "relu"}),
        (["d=(1,2)", "e=None"], {"d": (1, 2), "e": None}),
        (['{"f": [1, {"g": true}]}'], {"f": [1, {"g": True}]}),
        ([], {}),
    ],
)
def test_arguments_of_a_model_as_a_command_takes_them(texts: list[str], expected: dict[str, Any]) -> None:
    assert model_kwargs_of(texts) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "model-kwargs has 'a', expected NAME=VALUE, or an object of JSON"),
        ("1a=2", "model-kwargs has '1a=2'"),
        ('{"a": ', "which is no JSON"),
    ],
)
def test_arguments_that_are_none(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        model_kwargs_of([text])
