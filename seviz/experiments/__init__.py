"""The network runs again: how well it does, and what happens when its gates are others."""
