"""One module a page, each with its `PAGE`: what it is called, what it says of itself, and what draws it."""

from seviz.dashboard.pages import (
    channel,
    classes,
    compare,
    compression,
    excitation,
    export,
    image,
    overview,
    specificity,
)

PAGES = tuple(
    module.PAGE
    for module in (
        overview,
        excitation,
        specificity,
        channel,
        classes,
        image,
        compression,
        compare,
        export,
    )
)
"""In the order of the navigation; the first opens."""
