"""Share of activations s·u above 0 over positions and images: 1 less the average percentage of zeros."""

from torch import Tensor

from seviz.compression.scoring import Channels, Scores, mean_at_products
from seviz.network.networks import Network
from seviz.network.products import Product
from seviz.registry import criterion
from seviz.run.parts import Part
from seviz.run.store import Run


@criterion(title="share of activations above 0", needs=("images",), passes=3)
def apoz(network: Network, run: Run | Part | None, channels: Channels) -> Scores:
    """Share of s·u above 0 over positions and images."""
    return mean_at_products(network, channels, _on)


def _on(product: Product, gate: Tensor) -> Tensor:
    on = product.u.flatten(2) * gate[:, :, None] > 0  # (image, channel, position)
    return on.sum(2).cpu().double() / on.shape[2]
