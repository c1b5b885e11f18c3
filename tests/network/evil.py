"""A Python file that tells that it was executed, and networks made by it."""

from dataclasses import dataclass
from pathlib import Path

import seviz
from seviz.compression.folding import remove
from seviz.network.networks import Network

PLAIN = """
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.excite = nn.Linear(6, 6)

    def forward(self, u):
        return u * self.excite(u.mean((2, 3))).sigmoid()[:, :, None, None]


def factory():
    model = nn.Sequential(nn.Conv2d(3, 6, 1), Block(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    model.pretrained_cfg = {"input_size": (3, 16, 16)}
    model.class_names = ("a", "b", "c", "d")
    return model
"""


@dataclass(frozen=True)
class Evil:
    """A Python file that leaves another when it is executed.

    Attributes
    ----------
    file
        The Python file.
    """

    file: Path

    @property
    def plain(self) -> str:
        """The same code without the trace that it leaves."""
        return PLAIN

    @property
    def spec(self) -> str:
        """Of its network."""
        return f"{self.file}:factory"

    @property
    def ran(self) -> bool:
        """Whether it was executed since `forget`."""
        return self._trace.exists()

    def forget(self) -> None:
        """Take the trace away."""
        self._trace.unlink(missing_ok=True)

    def network(self) -> Network:
        """Its network, with fixed weights; the trace is taken away."""
        network = seviz.load(self.spec, weights="none")
        self.forget()
        return network

    def saved(self, directory: Path, *, base: str | None = None) -> str:
        """The directory of its network without a block, or of another that says to be made from that of `base`."""
        import json

        network = remove(self.network(), [next(iter(self.network().blocks))])
        seviz.save(network, directory)
        if base is not None:
            record = json.loads((directory / "network.json").read_text())
            record |= {"base": base, "changes": {"removed": [], "spread": {}, "widths": {}, "shapes": {}}}
            (directory / "network.json").write_text(json.dumps(record))
        self.forget()
        return str(directory)

    @property
    def _trace(self) -> Path:
        return self.file.with_name("ran")


def make_evil(directory: Path) -> Evil:
    """Write the file into a directory of its own."""
    directory.mkdir()
    trace = directory / "ran"
    (directory / "evil.py").write_text(f"with open({str(trace)!r}, 'w') as file:\n    file.write('x')\n{PLAIN}")
    return Evil(directory / "evil.py")
