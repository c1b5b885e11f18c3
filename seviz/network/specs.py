"""What specs of networks begin with, where code without torch must know it."""

MEMORY = "memory:"
"""The spec of a module in memory: this and its name. No spec makes it again."""

ONNX = "onnx:"
"""Before the path of an ONNX file."""

LOCAL = "timm/local-dir:"
"""Before the path of a directory that is laid out as timm writes networks for the hub."""
