"""Search the encoders of segmentation-models-pytorch for SE blocks, and compare with the types that they declare.

    python analyses/encoder_survey.py
    python analyses/encoder_survey.py se_resnet50 mobileone_s4

One line an encoder: blocks found, modules of SE types, the first and the last block, the gates. Exit code 1 if the
search and the types disagree.
"""

import argparse
import sys
import warnings
from collections.abc import Iterator

import segmentation_models_pytorch as smp
from torch import nn

from seviz.network.blocks import survey

SE_TYPES = {"SEModule": "fc1", "SqueezeExcite": "conv_reduce", "SEBlock": "reduce", "MBConvBlock": "_se_reduce"}
"""Types that are SE blocks by declaration, or have one, each with the layer that tells so."""


def declared(model: nn.Module) -> list[str]:
    """The paths of modules of these types."""
    return [
        path
        for path, module in model.named_modules()
        if hasattr(module, SE_TYPES.get(type(module).__name__, "no such attribute"))
    ]


def rows(names: list[str], most: float) -> Iterator[tuple[str, bool]]:
    """A line for each encoder, and whether the search agrees with the types."""
    for name in names:
        model = smp.encoders.get_encoder(name, weights=None).eval()
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        if millions > most:
            yield f"{name:30} left out: {millions:.0f} million parameters", True
            continue
        blocks = survey(model, (3, 64, 64)).blocks
        paths = declared(model)
        ends = f"{next(iter(blocks))} to {list(blocks)[-1]}" if blocks else "-"
        gates = " ".join(sorted({block.gate for block in blocks.values()})) or "-"
        yield (
            f"{name:30} {len(blocks):3} {len(paths):3}  {ends:18} {gates}",
            {b.path for b in blocks.values()} == set(paths),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoders", nargs="*", help="names; all by default")
    parser.add_argument("--largest", type=float, default=200, help="million parameters")
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # of names that timm has, too
    agreeing = []
    for line, agrees in rows(options.encoders or list(smp.encoders.encoders), options.largest):
        print(line if agrees else f"{line} (disagree)", flush=True)
        agreeing.append(agrees)
    if not all(agreeing):
        sys.exit(1)


if __name__ == "__main__":
    main()
