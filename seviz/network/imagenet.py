"""The classes of ImageNet, as timm knows them."""

from collections.abc import Sequence

import timm.data

from seviz.classes import Classes


def imagenet_classes(subset: str) -> Classes:
    """The classes of ImageNet, or of one of the larger sets that contain it.

    Parameters
    ----------
    subset
        As timm names it, such as "imagenet-1k".
    """
    ids = tuple(timm.data.ImageNetInfo(subset).label_names())
    return Classes(ids, imagenet_names(ids))


def imagenet_names(synsets: Sequence[str]) -> tuple[str, ...]:
    """What WordNet synsets such as "n01443537" are called in English ("goldfish"); unknown ones keep their id."""
    info = timm.data.ImageNetInfo("imagenet-22k-ms")
    known = dict(zip(info.label_names(), info.label_descriptions(), strict=True))
    return tuple(known.get(synset, synset).split(",")[0] for synset in synsets)
