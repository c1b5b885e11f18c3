"""Images that kill the process that decodes them."""

import os
import signal
from dataclasses import dataclass

import numpy as np
from PIL import Image

from seviz.capture.images import Decoded
from seviz.capture.indexed import Dataset
from seviz.classes import Classes


@dataclass(frozen=True, eq=False)
class Deadly(Dataset):
    """Some of its images kill the process that decodes them, though never this one."""

    survivor: int = 0

    def read(self, index: int, *, rotate: bool = False, channels: int = 3) -> Decoded:
        if self.paths[index].startswith("deadly") and os.getpid() != self.survivor:
            os.kill(os.getpid(), signal.SIGKILL)
        return Decoded(Image.new("RGB", (1, 1)), "ok", "rotated" if rotate else "")


def deadly(count: int, *places: int) -> Deadly:
    paths = tuple(f"{'deadly' if k in places else 'image'}{k}.jpg" for k in range(count))
    classes = Classes(("one",), ("one",))
    return Deadly("test", None, classes, paths, np.zeros(count, np.int64), survivor=os.getpid())
