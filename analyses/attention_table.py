"""What seviz makes of channel attention, SE and near to it: the table of docs/attention.md, measured anew.

    python analyses/attention_table.py

The networks are those of the tests, each written from its paper: a stem and two layers with the attention. Each is
checked as `seviz check` does: gates are read, forced to what they are and to a constant, and looked for a place in the
weights.
"""

import sys
from pathlib import Path

import seviz
from seviz.compression.checking import Check, check

sys.path.insert(0, str(Path(__file__).parents[1]))  # the networks stand among the tests
from tests.network.attentions import ATTENTIONS, Attention, example

HEADER = ("attention", "paper", "SE", "why", "found", "captured", "forced", "folded", "told")
LAYERS = 2


def main() -> None:
    print(table())


def table() -> str:
    """In Markdown, a line for each attention."""
    lines = (row(attention) for attention in ATTENTIONS.values())
    return "\n".join(f"| {' | '.join(line)} |" for line in (HEADER, ["---"] * len(HEADER), *lines))


def row(attention: Attention) -> list[str]:
    """The cells of an attention."""
    checked = check(seviz.wrap(attention.network(), example()))
    kinds = dict.fromkeys(other.kind for other in checked.survey.other)
    return [
        attention.name,
        attention.paper if " " in attention.paper else f"[{attention.paper}](https://arxiv.org/abs/{attention.paper})",
        "yes" if attention.se else "no",
        attention.why,
        *(found(checked) if checked.blocks else ["no", "-", "-", "-"]),
        "; ".join(kinds) or "-",
    ]


def found(checked: Check) -> list[str]:
    """How its gates are found, read, forced and folded, in both layers alike."""
    blocks = list(checked.blocks.values())
    first = blocks[0]
    shape = f"{first.block.gate}, {first.block.channels} to {first.block.squeezed_channels}"
    if len(blocks) != LAYERS or len({(each.block.gate, each.folds) for each in blocks}) > 1:
        raise SystemExit(f"what is like {first.block.path} is not found alike in {LAYERS} layers")
    return [
        f"yes: {shape}",
        "yes" if all(each.within_bounds and each.kept for each in blocks) else "NO",
        "yes" if all(each.set and each.formula is not False for each in blocks) else "NO",
        "yes" if first.folds else f"no: {first.why_not.replace('layers.0.', '')}",
    ]


if __name__ == "__main__":
    main()
