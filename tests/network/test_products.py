from collections import namedtuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seviz.network.products import (
    Form,
    Product,
    function_name,
    is_constant_over_positions,
    map_tensors,
    operands,
    tensors_in,
)

Pair = namedtuple("Pair", ("first", "second"))


def test_tensors_in_nested_containers_are_found_in_order_and_replaced() -> None:
    a, b, c = (torch.full((1,), float(k)) for k in range(3))
    nested = [a, {"x": (b, "text"), "y": None}, Pair(c, 7)]
    assert [int(tensor) for tensor in tensors_in(nested)] == [0, 1, 2]
    doubled = map_tensors(lambda tensor: 2 * tensor, nested)
    assert [int(tensor) for tensor in tensors_in(doubled)] == [0, 2, 4]
    assert isinstance(doubled[2], Pair)
    assert (doubled[1]["x"][1], doubled[1]["y"], doubled[2].second) == ("text", None, 7)
    assert list(tensors_in("text")) == []


def test_one_operation_has_one_name() -> None:
    for func in (
        torch.mul,
        Tensor.mul_,
        Tensor.__rmul__,
        Tensor.__imul__,
        torch.ops.aten.mul,
        torch.ops.aten.mul.Tensor,
    ):
        assert function_name(func) == "mul"
    for func in (torch.div, Tensor.__truediv__, Tensor.true_divide, torch.divide):
        assert function_name(func) == "div"
    assert function_name(torch.bmm) == function_name(Tensor.__matmul__) == "matmul"
    assert function_name(F.relu_) == function_name(torch.relu) == "relu"


@pytest.mark.parametrize(
    ("tensor", "constant"),
    [
        (torch.rand(2, 3, 1, 1), True),
        (torch.rand(2, 3, 1, 1).expand(2, 3, 4, 5), True),
        (torch.rand(2, 3, 1, 1).repeat(1, 1, 4, 5), True),
        (torch.rand(2, 3, 1).expand(2, 3, 4).contiguous(), True),
        (torch.rand(2, 3, 4, 5), False),
        (torch.rand(2, 3, 1, 5).expand(2, 3, 4, 5), False),
    ],
)
def test_a_factor_is_told_constant_by_its_values(tensor: Tensor, constant: bool) -> None:
    assert is_constant_over_positions(tensor) == constant


def test_a_factor_is_not_constant_if_only_its_ends_agree() -> None:
    tensor = torch.ones(2, 3, 4, 5)
    tensor[1, 2, 1, 1] = 0
    assert not is_constant_over_positions(tensor)


def test_calls_that_may_scale_channels_are_told_by_shapes_alone() -> None:
    u, gate = torch.randn(2, 3, 4, 4), torch.rand(2, 3, 1, 1)
    for func, args, kwargs in (
        (torch.mul, (u, gate), {}),
        (torch.mul, (u,), {"other": gate}),
        (Tensor.__imul__, (u, gate), {}),
        (torch.mul, (u, gate.expand_as(u)), {}),
        (torch.mul, (u, torch.rand(1, 3, 1, 1)), {}),  # the same in a batch of one
        (torch.addcmul, (u, u, gate), {}),
        (torch.addcmul, (u,), {"tensor1": u, "tensor2": gate}),
        (torch.div, (u, gate), {}),
        (torch.einsum, ("nchw,nc->nchw", u, gate.flatten(1)), {}),
        (torch.matmul, (gate.flatten(1).diag_embed(), u.flatten(2)), {}),
    ):
        assert operands(func, args, kwargs) is not None, func
    for func, args in (
        (torch.add, (u, gate)),
        (torch.mul, (u, 2.0)),
        (torch.mul, (u, torch.rand(2, 1, 1, 1))),  # one number an image
        (torch.mul, (u, torch.rand(2, 1, 4, 4))),  # differs between positions
        (torch.mul, (u.flatten(1), torch.rand(2, 48))),
        (torch.matmul, (torch.rand(2, 3), torch.rand(3, 4))),
    ):
        assert operands(func, args, {}) is None, func


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        ("factor", (2, 3, 1, 1)),
        ("factor", (2, 3)),
        ("factor", (2, 3, 4, 4)),
        ("factor", (6, 1, 1)),
        ("divisor", (2, 3, 1, 1)),
        ("diagonal", (2, 3, 3)),
    ],
)
def test_a_gate_is_read_as_it_was_set(form: str, shape: tuple[int, ...]) -> None:
    u, gate = torch.randn(2, 3, 4, 4), torch.tensor([[0.5, 0.25, 2.0], [1.0, 4.0, 0.125]])
    product = Product(u, torch.ones(shape), form).with_gate(gate)
    assert product.factor.shape == shape
    assert torch.equal(product.gate(), gate)
    if form == "diagonal":
        scaled = (product.factor @ u.flatten(2)).reshape(u.shape)
    elif form == "divisor":
        scaled = u / product.factor
    else:
        scaled = u * product.factor.reshape(2, 3, *product.factor.shape[2:] if len(shape) == 4 else (1, 1))
    torch.testing.assert_close(scaled, u * gate[:, :, None, None])


@pytest.mark.parametrize(
    ("shape", "form", "whole"),
    [
        ((3, 4, 1, 1), "factor", True),
        ((3, 4, 5, 5), "factor", True),
        ((3, 4), "factor", True),
        ((3, 4), "divisor", True),
        ((12,), "factor", True),
        ((1, 4, 1, 1), "factor", False),
        ((4, 1, 1), "factor", False),
        ((1, 4), "factor", False),
        ((3, 5), "factor", False),
        ((), "factor", False),
        ((3, 4, 4), "diagonal", True),
        ((1, 4, 4), "diagonal", False),
        ((3, 4), "diagonal", False),
    ],
)
def test_an_operand_is_whole_if_a_gate_for_every_image_and_channel_can_be_read_from_it(
    shape: tuple[int, ...], form: Form, whole: bool
) -> None:
    product = Product(torch.ones(3, 4, 5, 5), torch.ones(shape), form)
    assert product.is_whole == whole
    if whole:
        assert product.gate().shape == (3, 4)
