"""Your image: what the network of a run takes it for, and its gates beside those of the classes."""

from seviz.dashboard.view import Page, View


def page(view: View) -> None:
    """What the network makes of one image; torch is imported when the first is looked at, since that takes seconds."""
    from seviz.dashboard.one_image.drawing import draw

    draw(view)


PAGE = Page(
    title="Your image",
    path="image",
    icon=":material/image:",
    says=(
        "An SE block decides for every image anew how far it opens the gate of each channel. This page runs one image,"
        " of the run or your own, through the network, and tells which classes its gates resemble and which gates the"
        " prediction rests on."
    ),
    how=(
        "**How like each class**: the correlation, over the channels of a block, of the image's gates with the mean"
        " gates of a class; 1 is the same pattern, 0 none in common. By default what all classes share is taken off"
        " first, so that only what sets classes apart is compared. Where a block does not tell classes apart, what is"
        " left is chance.\n\n"
        "**Channel by channel**: points far outside of the band are gates that this image opens or shuts unlike the"
        " others.\n\n"
        "**What the gates add** is the change of the gate from where it is counted, times how steeply the logit of the"
        " prediction rises with it (gradient × gate), or the same added up on the whole way (integrated gradients,"
        " exact in sum and slower). An image of the run is part of the means that it is compared with."
    ),
    draw=page,
    keys=("origin", "image", "alike", "beside", "adds", "base"),
)
