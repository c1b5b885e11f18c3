"""Pictures as they are shown."""

import numpy as np
from PIL import Image

from seviz.dashboard.plots.one_image import enlarged


def test_small_pictures_are_enlarged_pixel_by_pixel() -> None:
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 32, 3), dtype=np.uint8))
    large = enlarged(small)
    times = large.width // 32
    np.testing.assert_array_equal(np.asarray(large), np.kron(np.asarray(small), np.ones((times, times, 1), np.uint8)))
    assert enlarged(large) is large
