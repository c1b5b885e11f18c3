"""The network and its SE blocks."""
