"""The names of SE blocks, found once and kept while the network around them changes.

A name belongs to a place: the path of the module around the product, and which of its channel products it is. A search
of a changed network numbers the blocks that are left anew; `with_names` gives each the name that its place has.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from seviz.network.blocks import SEBlock
from seviz.network.spread import is_spread

Place = tuple[str, int]
"""The path of the innermost module around a product, and the product's number in it (0-based)."""
_NAME = re.compile(r"SE_(\d+)_(\d+)")


def numbers(name: str) -> tuple[int, int] | None:
    """Stage and block of a name SE_stage_block; None if it is none."""
    found = _NAME.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def names_of(blocks: Mapping[str, SEBlock]) -> dict[Place, str]:
    """The name of each place where there is a block."""
    return {(block.path, block.product): name for name, block in blocks.items()}


def with_names(found: Mapping[str, SEBlock], names: Mapping[Place, str] | None) -> dict[str, SEBlock]:
    """Blocks that a search found, under the names that are kept of them.

    Parameters
    ----------
    found
        By the names that the search gave.
    names
        Kept names by place; those of places where no block was found stay taken. None for none.

    Returns
    -------
    dict of str to SEBlock
        In the order of `found`. A block without a kept name gets the next free number of its stage. Stages count as
        those of the kept names do, even where the search now counts them from another offset.
    """
    if not names:
        return dict(found)
    kept = {block.name: numbers(names.get((block.path, block.product), "")) for block in found.values()}
    offsets = Counter(of[0] - block.stage for block in found.values() if (of := kept[block.name]))
    offset = offsets.most_common(1)[0][0] if offsets else 0
    last = Counter[int]()
    for stage, block_number in filter(None, map(numbers, names.values())):
        last[stage] = max(last[stage], block_number)
    blocks = {}
    for block in found.values():
        name = names.get((block.path, block.product))
        stage, number = kept[block.name] or (block.stage + offset, block.block)
        if name is None:
            last[stage] += 1
            number = last[stage]
            name = f"SE_{stage}_{number}"
        blocks[name] = replace(block, name=name, stage=stage, block=number)
    return blocks


def moved_names(names: Mapping[Place, str], before: nn.Module, after: nn.Module) -> dict[Place, str]:
    """Names by place in a changed model, where modules may have been wrapped to spread their outputs."""
    return {(moved_path(path, before, after), product): name for (path, product), name in names.items()}


def moved_path(path: str, before: nn.Module, after: nn.Module) -> str:
    """The path in a changed model of a module that was at `path`.

    Where a module on its way has since been wrapped to spread its outputs, `block` follows it; else nothing changes.
    """
    now: list[str] = []
    parts = path.split(".") if path else []
    for count, part in enumerate(parts, start=1):
        now.append(part)
        if _is_spread_at(after, ".".join(now)) and not _is_spread_at(before, ".".join(parts[:count])):
            now.append("block")
    return ".".join(now)


def _is_spread_at(model: nn.Module, path: str) -> bool:
    try:
        return is_spread(model.get_submodule(path))
    except AttributeError:
        return False
