"""Ten lines with seviz, as a script of one's own: `mypy --strict` sees the types of all that it uses."""

import tempfile
from pathlib import Path

import seviz

network: seviz.Network = seviz.load("seviz/seresnet50-cifar10")
with tempfile.TemporaryDirectory() as folder:
    run: seviz.Run = seviz.collect(network, "bundled", Path(folder) / "run", per_class=2, progress=False)
    depth = seviz.specificity(run)
    print(depth[["block", "omega_squared"]].to_string(index=False))
    folded: seviz.Network = seviz.fold(network, run, ["SE_2_2"])
    print(seviz.evaluate(folded, run, workers=0).accuracy)
