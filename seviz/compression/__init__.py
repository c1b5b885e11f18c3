"""Smaller networks: what channels are worth, and what can be done with that."""
