from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seviz.errors import OptionError
from seviz.network.outputs import call, logits_in, one_by_one, shape_of, stacked

LOGITS = torch.tensor([[0.1, 0.9, -1.0], [2.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        SimpleNamespace(logits=LOGITS, hidden_states=None),
        {"logits": LOGITS},
        {"out": LOGITS, "aux": LOGITS + 1},
        (torch.zeros(2, 8, 4, 4), LOGITS, LOGITS + 1),
        [torch.zeros(2, dtype=torch.int64), LOGITS],
    ],
)
def test_logits_are_found_in_what_networks_return(output: Any) -> None:
    found = logits_in(output)
    assert found is not None
    assert torch.equal(found, LOGITS)


@pytest.mark.parametrize(
    "output", [torch.zeros(2, 8, 4, 4), torch.zeros(2, 3, dtype=torch.int64), {"boxes": LOGITS}, (), None, "no"]
)
def test_what_holds_no_logits(output: Any) -> None:
    assert logits_in(output) is None


@pytest.mark.parametrize("one", [torch.tensor([[-2.0], [3.0]]), torch.tensor([-2.0, 3.0])])
def test_one_logit_predicts_by_its_sign(one: Tensor) -> None:
    logits = logits_in(one)
    assert logits is not None
    assert logits.argmax(1).tolist() == [0, 1]
    probability = torch.sigmoid(one.flatten())  # softmax of 0 and x
    assert torch.allclose(logits.softmax(1)[:, 1], probability)


def test_a_persons_own_function_tells_the_logits_or_is_an_error() -> None:
    assert logits_in({"a": LOGITS}, lambda output: output["a"]) is LOGITS
    for wrong, shape in (
        (torch.zeros(2, 3, 4), r"a tensor of shape \(2, 3, 4\)"),
        ("a", "a str"),
        (None, "a NoneType"),
    ):
        with pytest.raises(OptionError, match=rf"outputs gave {shape}, expected logits \(batch, classes\)"):
            logits_in(LOGITS, lambda _, wrong=wrong: wrong)


class Two(nn.Module):
    def forward(self, image: Tensor, scale: Tensor) -> Tensor:
        return image * scale


class OneDict(nn.Module):
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["image"] * batch["scale"]


def test_inputs_are_positional_arguments_keywords_or_the_dict_itself() -> None:
    image, scale = torch.ones(2, 3), torch.tensor([[2.0], [3.0]])
    for model, inputs in (
        (Two(), (image, scale)),
        (Two(), {"scale": scale, "image": image}),
        (OneDict(), {"scale": scale, "image": image}),
    ):
        assert call(model, inputs).tolist() == [[2.0] * 3, [3.0] * 3]


def test_a_batch_is_taken_apart_and_put_together_again() -> None:
    batch = {"image": torch.arange(12.0).reshape(2, 2, 3), "more": (torch.tensor([5, 6]), "as it is")}
    images = list(one_by_one(batch))
    assert images[1]["image"].tolist() == [[6, 7, 8], [9, 10, 11]]
    assert images[1]["more"] == (torch.tensor(6), "as it is")
    again = stacked(images, lambda tensors: torch.stack(list(tensors)))
    assert torch.equal(again["image"], batch["image"])
    assert torch.equal(again["more"][0], batch["more"][0])
    assert shape_of(images[0]) == shape_of(images[1]) != shape_of(batch)
