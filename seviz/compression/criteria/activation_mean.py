"""Mean of |u| over positions and images."""

from torch import Tensor

from seviz.compression.scoring import Channels, Scores, mean_at_products
from seviz.network.networks import Network
from seviz.network.products import Product
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run


@criterion(title="mean activation", needs=("images",), passes=3)
def activation_mean(network: Network, run: Run | Part | None, channels: Channels) -> Scores:
    """Mean of |u| over positions and images."""
    return mean_at_products(network, channels, _size)


def _size(product: Product, _: Tensor) -> Tensor:
    return product.u.abs().flatten(2).mean(2)
