"""What a run says in words: each sentence is computed from a table, and comes out otherwise for another run.

Nothing is claimed that the table does not hold: whether a figure rises with depth is decided by its intervals, see
`seviz.report.course`, and of untrained SE weights it is said that nothing was learned.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from seviz.numerals import count, decimals, percent
from seviz.report.course import At, Course, course

HARDLY = 0.01
"""Gates whose standard deviation between classes is smaller hardly differ."""
_TOGETHER = 0.5  # independent gates, as a share of all: where they are fewer, gates move together
_NAMED = 5  # blocks, before they are only counted
_IDLE = (
    (
        "near identity",
        "distance_from_identity",
        "near the identity, as the paper finds of SE_5_2 in its own network: from 1 the gates are",
    ),
    (
        "near constant",
        "distance_from_constant",
        "near constant, the same for whatever image: from their channel's mean the gates are",
    ),
)


def specificity_in_words(table: pd.DataFrame, *, trained: bool = True, several: bool = False) -> str:
    """How class-specific the gates are, by depth.

    Parameters
    ----------
    table
        From `seviz.tables.specificity.specificity`.
    trained
        Whether the weights of the SE blocks are.
    several
        Whether images have several classes.
    """
    share = course(table, "omega_squared")
    besides = _besides(table, share)
    of_which = " of which it is known" if besides else ""
    between = "between a class and all others (mean over classes)" if several else "between classes"
    untrained = "" if trained else "The weights of the SE blocks are untrained, so that their gates learned nothing. "
    if share is None or table["classes"].max() < (1 if several else 2):
        return untrained + _no_share(table)
    if not trained:
        return (
            f"{untrained}Of the gates' variance {_range(share)} lies {between}: this is what random weights make of"
            f" images that look different, and no learned class specificity.{besides}"
        )
    if share.with_intervals and all(at.low <= 0 for at in share.blocks):
        return (
            f"In no block{of_which} more of the gates' variance lies {between} than chance makes: at most"
            f" {_with_interval(share.greatest, spoken=True)}.{besides}"
        )
    if len(share.blocks) == 1:
        only = "the only block" if len(table) == 1 else "the only block of which it is known"
        return f"Of the gates' variance {_with_interval(share.first, spoken=True)} lies {between}: {only}."
    subject = f"The share of the gates' variance that lies {between}"
    if share.kind == "same":
        said = (
            f"{subject} is about the same in all blocks{of_which}, {_range(share)}: no course from class-agnostic"
            " to class-specific is seen here."
        )
    elif share.kind == "wavers":
        said = (
            f"{subject} does not go one way with depth: it is least at {_at(share.least)} and greatest at"
            f" {_at(share.greatest)}, {_at(share.first)} in the first block and {_at(share.last)} in the last."
        )
    else:
        said = (
            f"{subject} {share.kind} with depth, from {_with_interval(share.first, spoken=True)} to"
            f" {_with_interval(share.last)}; rank correlation with depth {decimals(share.correlation)}."
        )
        if share.kind == "rises":
            said += " From class-agnostic towards class-specific: this is the course that the paper describes."
        else:
            said += " This is the opposite of the course that the paper describes."
    if not share.with_intervals:
        said += " No intervals are known, for which the gates of single images are needed, varying within classes."
    return said + besides


def most_specific_in_words(table: pd.DataFrame, *, trained: bool = True) -> str:
    """Which block is the most class-specific; empty where that says nothing.

    Parameters
    ----------
    table, trained
        As of `specificity_in_words`.
    """
    share = course(table, "omega_squared")
    if not trained or share is None or share.kind == "same":
        return ""
    top = share.greatest
    if top.low <= 0:
        return ""
    size = float(table.set_index("block")["std_between"][top.block])
    said = f"The most class-specific block is {top.block}, with {_with_interval(top, named=False)}"
    if size < HARDLY:
        said += (
            f"; but its gates differ little between classes, by a standard deviation of {decimals(size, 4)}: a large"
            " share of next to nothing"
        )
    else:
        said += f"; its gates differ between classes by a standard deviation of {decimals(size)}"
    near = [at.block for at in share.blocks if at.block != top.block and at.high >= top.low]
    if near:
        said += f". About as class-specific, since intervals overlap: {_listed(near)}"
    return f"{said}."


def saturation_in_words(table: pd.DataFrame) -> str:
    """Which blocks are near the identity, near constant or saturated.

    Parameters
    ----------
    table
        From `seviz.tables.saturation.saturation`.
    """
    if not table["images"].any():
        return "Whether gates are saturated cannot be told: no image is left."
    unknown = list(table["block"][table["distance_from_constant"].isna()])
    if len(unknown) == len(table):
        return "Whether gates are saturated cannot be told: gates of some images are not finite."
    said = []
    for flag, column, means in _IDLE:
        rows = table[table["flag"] == flag]
        if len(rows):
            ends = dict.fromkeys(decimals(distance, 3) for distance in (rows[column].min(), rows[column].max()))
            away = " to ".join(ends)
            said.append(f"{_subject(list(rows['block']), len(table))} {means} {away} away (root mean square).")
    rows = table[table["flag"] == "saturated"]
    if len(rows):
        said.append(
            f"{_subject(list(rows['block']), len(table))} saturated: most gates are below 0.05 or above 0.95, though"
            " they still differ between images."
        )
    if not said:
        said.append(
            f"No block{' of which it is known' if unknown else ''} is near the identity, near constant or saturated."
        )
    still, channels = int(table["constant_channels"].sum()), int(table["channels"].sum())
    if still:
        said.append(f"{still:,} of all {channels:,} channels have the same gate for every image.")
    if unknown:
        said.append(f"Of {_listed(unknown)} it cannot be told: gates of some images are not finite.")
    return " ".join(said)


def decoded(table: pd.DataFrame, signal: str = "excitation") -> pd.DataFrame:
    """What is shown of a decoding table: a row a block, by the linear decoder, on equally many components.

    Parameters
    ----------
    table
        From `seviz.tables.decoding.decoding`.
    signal
        Of its signals.
    """
    there = list(dict.fromkeys(table["decoder"]))
    decoder = next((name for name in ("logistic", "discriminant") if name in there), there[0])
    chosen = (table["signal"] == signal) & (table["width"] != "own") & (table["decoder"] == decoder)
    return table[chosen].reset_index(drop=True)


def decoding_in_words(table: pd.DataFrame, *, trained: bool = True, top1: float | None = None) -> str:
    """How well the class is read off the gates of one block alone.

    Parameters
    ----------
    table
        From `seviz.tables.decoding.decoding`.
    trained
        Whether the weights of the SE blocks are.
    top1
        Accuracy of the network itself, in [0, 1].
    """
    rows = decoded(table)
    right = course(rows, "accuracy")
    if right is None:
        return (
            "Whether the class can be read off the gates cannot be told: fewer than two classes have images enough, or"
            " gates are not finite."
        )
    guess = float(rows["majority"].max())
    chance = f"a guess would be right for {percent(guess)}"
    if top1 is not None:
        chance += f", the network itself is for {percent(top1)}"
    if all(at.low <= guess for at in right.blocks):
        return (
            "From the gates of a single block the class of an image is not read off better than by a guess: at most"
            f" for {percent(right.greatest.value)} ({right.greatest.block}) of the images; {chance}."
        )
    said = f"From the gates of a single block the class is read off right for {_accuracies(right)} of the images"
    said += f" ({chance}; each block by equally many components)."
    if not trained:
        return f"{said} Even random gates tell images apart by how they look; nothing of it was learned."
    if len(right.blocks) > 1:
        said += {
            "rises": " It rises with depth.",
            "falls": " It falls with depth.",
            "same": " That is about the same in all blocks.",
            "wavers": " It does not go one way with depth.",
        }[right.kind]
    squeezed = course(decoded(table, "squeeze"), "accuracy")
    if squeezed is not None:
        from_squeeze = next((at for at in squeezed.blocks if at.block == right.last.block), None)
        if from_squeeze is not None:
            said += (
                f" The squeeze that the gates of {right.last.block} are computed from tells it for"
                f" {percent(from_squeeze.value)}."
            )
    return said


def redundancy_in_words(table: pd.DataFrame) -> str:
    """How many of a block's gates are independent.

    Parameters
    ----------
    table
        From `seviz.tables.redundancy.redundancy`.
    """
    known = table[np.isfinite(table["participation_ratio"].to_numpy(np.float64))]
    if known.empty:
        return "How many gates are independent cannot be told: too few images are known one by one."
    moving = known[known["varying_channels"] > 0]
    if moving.empty:
        return "No gate varies, so that none moves with another."
    share = moving["participation_ratio"] / moving["channels"]
    fewest, most = (moving.iloc[int(k)] for k in (share.argmin(), share.argmax()))
    how = "move together" if share.min() < _TOGETHER else "hardly move together"
    if len(moving) == 1:
        return f"The gates {how}: {_worth(most)}."
    return (
        f"The gates of a block {how}: {_worth(fewest)}, the fewest for its width, and {_worth(most)}, the most"
        " (participation ratio of their correlations)."
    )


def convergence_in_words(table: pd.DataFrame) -> str:
    """Whether the run has images enough.

    Parameters
    ----------
    table
        From `seviz.tables.convergence.convergence`.
    """
    images, blocks = int(table["images"].max()), len(table)
    judged = table[table["verdict"] != "nothing varies"]
    unknown = judged[judged["verdict"] == "not known"]
    judged = judged.drop(unknown.index)
    few = judged[judged["verdict"].isin(["not enough", "as by chance"])]
    if judged.empty:
        why = "gates of some images are not finite" if len(unknown) else "gates do not vary"
        return f"How many images are needed cannot be told: {why}."
    wanted = few["wanted"].to_numpy(np.float64)
    endless = list(few["block"][(few["verdict"] == "as by chance") | np.isinf(wanted)])
    have = f"{images:,} {'image' if images == 1 else 'images'} of a class (the median)"
    besides = f" It is not known of {_listed(list(unknown['block']))}." if len(unknown) else ""
    if few.empty:
        stable = _those(len(judged), blocks)
        most = judged.iloc[int(judged["wanted"].to_numpy(np.float64).argmax())]
        return (
            f"There are enough images: with {have}, the order of channels and the figures of {stable} are"
            f" stable; {most['block']} wants the most, {count(most['wanted'])}.{besides}"
        )
    if np.isnan(wanted).all() and not endless:
        return f"Whether there are enough images cannot be told, with {have}; take more."
    said = f"There are too few images: with {have}, {_counted(list(few['block']), blocks)} not stable"
    if others := len(judged) - len(few):
        said += f", the other {others} are" if others > 1 else ", the other one is"
    finite = wanted[np.isfinite(wanted)]
    if len(finite):
        said += f"; about {count(finite.max())} of each class would do{'' if len(finite) == len(few) else ' for most'}"
    else:
        said += "; how many would do cannot be told, since samples agree as by chance"
    if len(finite) and endless:
        said += f"; for {_listed(endless)} no number can be told, since samples agree as by chance"
    return f"{said}.{besides}"


def _no_share(table: pd.DataFrame) -> str:
    if not table["images"].any():
        return "How class-specific gates are cannot be told: no image is left."
    if table["classes"].max() < 2:
        return "How class-specific gates are cannot be told: all images are of the same class."
    return (
        "How class-specific gates are cannot be told: no gate varies, or no class has two images, or gates are not"
        " finite."
    )


def _besides(table: pd.DataFrame, known: Course | None) -> str:
    """The blocks that nothing was said of, as one more sentence; empty if there are none."""
    told = {at.block for at in known.blocks} if known else set()
    left = [block for block in table["block"] if block not in told]
    return f" Of {_listed(left)} nothing is known, where gates do not vary or are not finite." if left and told else ""


def _at(at: At) -> str:
    return f"{decimals(at.value)} ({at.block})"


def _with_interval(at: At, *, spoken: bool = False, named: bool = True) -> str:
    where = f" at {at.block}" if named else ""
    if np.isnan([at.low, at.high]).any():
        return f"{decimals(at.value)}{where}"
    name = "95 % interval " if spoken or not named else ""
    return f"{decimals(at.value)}{where} ({name}{decimals(at.low)} to {decimals(at.high)})"


def _range(share: Course) -> str:
    if len(share.blocks) == 1:
        return _at(share.first)
    ends = decimals(share.least.value), decimals(share.greatest.value)
    return ends[0] if ends[0] == ends[1] else f"{_at(share.least)} to {_at(share.greatest)}"


def _accuracies(right: Course) -> str:
    if len(right.blocks) == 1:
        return f"{percent(right.first.value)} ({right.first.block})"
    if percent(right.least.value) == percent(right.greatest.value):
        return percent(right.first.value)
    said = f"{percent(right.first.value)} ({right.first.block}, the first) to {percent(right.last.value)}"
    said += f" ({right.last.block}, the last)"
    if right.greatest.block not in (right.first.block, right.last.block):
        said += f", at best {percent(right.greatest.value)} ({right.greatest.block})"
    return said


def _those(number: int, of: int) -> str:
    """So many blocks of all: those of which a figure is known."""
    return "all blocks" if number == of else f"{number} of {of} blocks"


def _worth(row: "pd.Series[float]") -> str:
    worth = f"about {row['participation_ratio']:.2g} independent ones"
    return f"the {row['channels']:,} of {row['block']} are worth {worth}"


def _counted(blocks: Sequence[str], of: int) -> str:
    """Blocks as a subject, with its verb."""
    if len(blocks) == 1:
        return f"{blocks[0]} is"
    if len(blocks) == of:
        return f"all {of} blocks are" if of > 2 else "both blocks are"
    return f"{_listed(blocks)} are" if len(blocks) <= _NAMED else f"{len(blocks)} of {of} blocks are"


def _subject(blocks: Sequence[str], of: int) -> str:
    """The same where a sentence begins."""
    counted = _counted(blocks, of)
    return counted[0].upper() + counted[1:]


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    if len(names) <= _NAMED:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
