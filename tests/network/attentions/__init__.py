"""Small networks with the channel attention of papers, each written from its paper."""

from tests.network.attentions import excitations, others
from tests.network.attentions.declaration import ATTENTIONS, Attention, Net, example

__all__ = ["ATTENTIONS", "Attention", "Net", "example", "excitations", "others"]
