"""What tables with intervals over images check, count and say."""

from seviz.errors import OptionError
from seviz.run.store import Run


def images_and_kept(run: Run) -> tuple[int, int]:
    """How many images did not fail, and of how many of these the gates are kept."""
    good = run.samples["status"] != "failed"
    return int(good.sum()), int((good & run.samples["kept"]).sum())


def remarks_on_intervals(several: bool, over_images: bool, kept: int, images: int) -> list[str]:
    if not over_images:
        return ["Intervals over images were not asked for."]
    if not kept:
        return ["The run keeps the gates of no image: there are no intervals over images."]
    if kept == images:
        return []
    if several:
        return [f"The run keeps the gates of {kept} of {images} images, chosen by class: none over images is given."]
    return [f"Intervals over images rest on the gates of {kept} of {images} images, which the run keeps."]


def check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise OptionError(f"confidence is {confidence}, expected between 0 and 1, such as 0.95")
