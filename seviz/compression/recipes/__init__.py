"""From a network and its run to a smaller network, measured: what has to be done in which order.

Each recipe parts the images of the run into those that scores and constants come from, those that choices are made
with, and those that judge the result (`seviz.compression.splitting`), makes the network smaller, repairs it, measures
it beside the original, and gives a `Compression`, which can be looked at or written to a directory.
"""

from seviz.compression.recipes.curve import curve_run as curve_run
from seviz.compression.recipes.fold import fold_run as fold_run
from seviz.compression.recipes.prune import prune_run as prune_run
