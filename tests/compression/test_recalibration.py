from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from seviz.compression.recalibration import recalibrate
from seviz.errors import EmptyDataError, ModelError, OptionError
from seviz.network.networks import Loaded, Network


def with_norm(network: Network) -> Network:
    """The stem, BatchNorm on it, and a dropout that would show in what the second BatchNorm sees."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.Dropout(0.5),
            nn.BatchNorm2d(4),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        )
    return replace(network, model=model.eval())


def batches(*sizes: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(n, 3, 16, 16, generator=generator) * (k + 1), torch.zeros(n).long()) for k, n in enumerate(sizes)
    ]


def test_statistics_are_the_means_over_batches_by_their_size(tiny_network: Network) -> None:
    network, data = with_norm(tiny_network), batches(4, 2)
    found = recalibrate(network, data, device="cpu").model[1]
    with torch.no_grad():
        seen = [network.model[0](x).double().numpy() for x, _ in data]
    mean = sum(len(u) / 6 * u.mean((0, 2, 3)) for u in seen)
    variance = sum(len(u) / 6 * u.transpose(1, 0, 2, 3).reshape(4, -1).var(1, ddof=1) for u in seen)
    np.testing.assert_allclose(found.running_mean, mean, atol=1e-6)
    np.testing.assert_allclose(found.running_var, variance, rtol=1e-5)


def test_dropout_stays_off_and_all_else_as_it_was(tiny_network: Network) -> None:
    network = replace(with_norm(tiny_network), names={("stem", 0): "SE_2_2"})
    before = {name: value.clone() for name, value in network.model.state_dict().items()}
    new = recalibrate(network, batches(8), device="cpu")
    assert all(torch.equal(before[name], value) for name, value in network.model.state_dict().items())
    for (name, old), (_, now) in zip(network.model.named_parameters(), new.model.named_parameters(), strict=True):
        assert torch.equal(old, now), name
    # In one batch the first BatchNorm gives mean 0 and variance 1, which is what the second sees without dropout.
    np.testing.assert_allclose(new.model[3].running_mean, 0, atol=1e-5)
    np.testing.assert_allclose(new.model[3].running_var, 1, rtol=2e-3)
    assert not any(module.training for module in new.model.modules())
    assert new.model[1].momentum == 0.1
    assert (new.names, new.loaded) == (network.names, Loaded.of(network))


def test_so_many_images(tiny_network: Network) -> None:
    network, data = with_norm(tiny_network), batches(4, 4)
    first = recalibrate(network, [(data[0][0][:3], data[0][1][:3])], device="cpu")
    limited = recalibrate(network, data, images=3, device="cpu")
    assert torch.equal(first.model[1].running_mean, limited.model[1].running_mean)
    assert torch.equal(first.model[1].running_var, limited.model[1].running_var)


def test_images_of_a_data_set_are_mixed(tiny_network: Network, make_folder: Callable[..., Path]) -> None:
    network, folder = with_norm(tiny_network), make_folder({"blue": 6, "green": 6, "red": 6})
    one = recalibrate(network, folder, batch_size=18, device="cpu", workers=0).model[1]
    some = recalibrate(network, folder, batch_size=6, device="cpu", workers=0).model[1]
    np.testing.assert_allclose(some.running_mean, one.running_mean, atol=1e-5)
    # Batches of one colour each would hold less than a third of the variance between colours.
    np.testing.assert_allclose(some.running_var, one.running_var, rtol=0.3)


def test_frozen_statistics_stay(tiny_network: Network) -> None:
    network = with_norm(tiny_network)
    network.model[3] = nn.BatchNorm2d(4, track_running_stats=False)
    assert recalibrate(network, batches(4), device="cpu").model[3].running_mean is None


def test_what_cannot_be_measured_is_refused(tiny_network: Network) -> None:
    with pytest.raises(ModelError, match="tests/tiny has no BatchNorm with running statistics"):
        recalibrate(tiny_network, batches(4))
    with pytest.raises(EmptyDataError, match="no batch has more than one image"):
        recalibrate(with_norm(tiny_network), batches(1, 1))
    with pytest.raises(OptionError, match="images is 1, expected at least 2"):
        recalibrate(with_norm(tiny_network), batches(4), images=1)
    with pytest.raises(OptionError, match="batch_size is 1, expected at least 2"):
        recalibrate(with_norm(tiny_network), batches(4), batch_size=1)


def test_a_network_in_float64_gets_images_in_float64(tiny_network: Network) -> None:
    network, data = with_norm(tiny_network), batches(4, 2)
    expected = recalibrate(network, data, device="cpu").model[1].running_var.double()
    network.model.double()
    found = recalibrate(network, data, device="cpu").model[1].running_var
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == torch.float64
