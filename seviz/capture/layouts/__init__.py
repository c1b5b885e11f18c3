"""How data sets lie on the disk: one module a layout, each of which opens it as a `Dataset`."""
