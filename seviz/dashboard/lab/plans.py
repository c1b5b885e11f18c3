"""What can be done to a network in the lab: as a command of seviz, in words, and how long it takes about."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seviz.compression.criteria import criterion_of
from seviz.dashboard.opening import TRUST
from seviz.errors import OptionError
from seviz.options import Budget
from seviz.registry import CRITERIA
from seviz.run.store import Run

KINDS = {
    "auto": "what fits the network",
    "gated": "channels that SE blocks scale",
    "inner": "channels before the last convolution of a block",
    "branch": "what a block adds to channels of the stream",
    "stream": "channels of a stage's residual stream",
}
ORDERS = {
    "variance": "least variance of the gate (no images needed)",
    "predicted": "least predicted damage (one pass back)",
    "measured": "least measured damage (a pass for each block)",
    "greedy": "greedily by measured loss (many passes)",
}
SCOPES = {"global": "all channels compete", "stage": "within each stage", "block": "within each block"}

_SCORE, _CHOOSE, _FINAL = 0.4, 0.2, 0.4  # as the command parts the images
_START, _BUILDING = 15.0, 12.0  # seconds
_SPEED = 3072 * 130.0  # input values a second, of the demo network on two cores

Command = Literal["curve", "fold", "prune"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A compression that can be started.

    Attributes
    ----------
    command
        Of seviz.
    options
        Of the command, behind the run and the directory of the result.
    says
        What will be done, in words.
    passes
        How often all images of the run would have gone through the network, about.
    """

    command: Command
    options: tuple[str, ...]
    says: str
    passes: float

    def arguments(self, run: Path, out: Path, *, trust_code: bool = False) -> list[str]:
        """The command line behind `seviz`; with `trust_code` it may execute or fetch what the run names."""
        return [self.command, str(run), "-o", str(out), *self.options, *([TRUST] if trust_code else [])]

    def seconds(self, run: Run) -> float:
        """How long it takes, about, on two cores: the work by the values of the input, as of a ResNet-50."""
        size = 1
        for side in run.manifest.model.input_size:
            size *= side or 224  # where any size will do
        building = _BUILDING if self.command == "prune" else 0.0
        return _START + building + self.passes * len(run.samples) * size / _SPEED


def plan_mask(
    criteria: Sequence[str], fractions: Sequence[str], *, scope: str, seeds: int, classes: Sequence[str] = ()
) -> Plan:
    """Accuracy against the share of channels masked."""
    wanted = [criterion_of(with_classes(each, classes)) for each in criteria]
    options = ["--criteria", ";".join(each.name for each in wanted), "--fractions", ",".join(fractions)]
    draws = [1 if each.alone else seeds for each in wanted]
    passes = _FINAL * (1 + sum(draws) * len(fractions))
    passes += sum(_SCORE / 2 * n * each.declaration.passes for n, each in zip(draws, wanted, strict=True))
    worth = "each of the criteria scores" if len(criteria) > 1 else "the criterion scores"
    says = (
        f"The channels that {worth} lowest are set to zero, {', '.join(f'{float(each):.0%}' for each in fractions)} of"
        " them, and the accuracy is measured on images that had no part in the scores. Nothing is removed: the network"
        " keeps its size."
    )
    return Plan(command="curve", options=(*options, "--scope", scope, "--seeds", str(seeds)), says=says, passes=passes)


def plan_fold(
    run: Run,
    *,
    remove: bool,
    budget: str,
    blocks: Sequence[str] = (),
    count: int = 1,
    drop: str = "0.01",
    order: str = "variance",
    classes: Sequence[str] = (),
    recalibrate: bool,
    latency: bool,
    program: bool,
) -> Plan:
    """SE blocks whose gates become constants: `budget` is blocks (those given), count, drop or all."""
    of, n = _listed(classes), len(run.blocks)
    passes = _FINAL * (2 + recalibrate) + _SCORE * recalibrate
    chosen = {
        "blocks": ["--blocks", ",".join(blocks)],
        "count": ["--count", str(count)],
        "drop": ["--max-drop", drop],
        "all": [],
    }[budget]
    which = {
        "blocks": f"the SE blocks {', '.join(blocks)}" if len(blocks) > 1 else f"the SE block {''.join(blocks)}",
        "count": f"{count} of {n} SE blocks",
        "drop": f"as many of {n} SE blocks as cost no more than {points(drop)} of accuracy",
        "all": f"all SE blocks that can be, of {n}",
    }[budget]
    if budget != "blocks":
        chosen += ["--order", order]
        tries = {"variance": 0.0, "predicted": 3.0, "measured": n + 1.0, "greedy": n * (n + 1) / 2}[order]
        passes += _CHOOSE * (tries + (n + 1) * (budget == "drop")) + _FINAL * (n + 1)
    constant = "1" if remove else f"their means{f' over images of {of}' if classes else ''}"
    says = (
        f"The gates of {which} become {constant}, multiplied into the layers beside them; the blocks are gone."
        + (" Those that are missed least go first." if budget in ("count", "drop") else "")
        + _after(recalibrate, latency, program, classes)
    )
    options = [*chosen, *(["--classes", of] if classes else []), *(["--remove"] if remove else [])]
    return Plan(command="fold", options=(*options, *_switches(recalibrate, latency, program)), says=says, passes=passes)


def plan_prune(
    *,
    share_of: str,
    percent: int,
    kind: str,
    criterion: str,
    scope: str,
    classes: Sequence[str] = (),
    recalibrate: bool,
    latency: bool,
    program: bool,
) -> Plan:
    """Channels taken out for good: `percent` of a quantity of `Budget` is kept."""
    chosen, budget = criterion_of(with_classes(criterion, classes)), Budget(**{share_of: percent / 100})
    passes = _FINAL * (2 + recalibrate) + _SCORE * (recalibrate + chosen.declaration.passes)
    what = {"auto": "Channels"}.get(kind, KINDS[kind][0].upper() + KINDS[kind][1:])
    says = (
        f"{what} are taken out for good, those that are worth least first: {percent} % of the {Budget.OF[share_of]} are"
        f" kept. What a channel is worth: {worth_of(criterion, classes)}."
        + _after(recalibrate, latency, program, classes)
    )
    options = [f"--{share_of.replace('_', '-')}", f"{budget.share:g}", "--kind", kind]
    options += ["--criterion", criterion, "--scope", scope]
    options += ["--classes", _listed(classes)] if classes else []
    switches = _switches(recalibrate, latency, program)
    return Plan(command="prune", options=(*options, *switches), says=says, passes=passes)


def criteria_of(*kinds: str, signals: Sequence[str] = ()) -> list[str]:
    """Names of the criteria that score all of some kinds of channels, and need no other signals than these."""
    signals = ("excitation", *signals)
    return [each.name for each in CRITERIA.outlines() if {*kinds} <= {*each.kinds} and {*each.signals} <= {*signals}]


def worth_of(criterion: str, classes: Sequence[str] = ()) -> str:
    """A criterion in words; for some classes the mean gate is theirs."""
    return CRITERIA.outline("gate_class" if criterion == "gate_mean" and classes else criterion).title


def with_classes(criterion: str, classes: Sequence[str]) -> str:
    """The criterion as a command takes it, for some classes where it takes them."""
    return f"gate_class:{_listed(classes)}" if classes and criterion == "gate_class" else criterion


def _switches(recalibrate: bool, latency: bool, program: bool) -> list[str]:
    given = {"recalibrate": recalibrate, "latency": latency, "program": program}
    return [f"--{name}" if on else f"--no-{name}" for name, on in given.items()]


def _after(recalibrate: bool, latency: bool, program: bool, classes: Sequence[str]) -> str:
    """What follows, in words."""
    judged = " Only images of the chosen classes judge the result." if classes else ""
    again = " The BatchNorm statistics are then estimated anew." if recalibrate else ""
    timed = " The result is timed beside the original." if latency else ""
    written = " It is also written as a program that torch runs without seviz." if program else ""
    return judged + again + timed + written


def _listed(classes: Sequence[str]) -> str:
    """Classes as the command takes them; raises OptionError where one has a mark that lists have."""
    if odd := [each for each in classes if re.search("[,;]", each) or each != each.strip()]:
        raise OptionError(
            f"the class {odd[0]!r} has a mark that separates classes on a command line, and cannot be chosen here"
        )
    return ",".join(classes)


def refused(run: Run) -> str:
    """Why nothing can be compressed from a run; empty where nothing stands against it."""
    data, changed = run.manifest.data, run.manifest.model.changed
    if changed is not None:
        return (
            f"The network of this run was changed in Python after it was loaded ({changed.what}): no command can load"
            " it again. Write it down with seviz.save, and capture a run of the directory."
        )
    if data.fingerprint is None:
        return (
            "The images of this run were handed over in memory: they cannot be opened again to judge a smaller network."
        )
    if data.labels == "multi":
        return "Images of this run have several classes each; smaller networks are judged by images of one class."
    if int((~run.samples["kept"] & (run.samples["status"] != "failed")).sum()):
        return (
            "This run does not keep the gates of all images, so they cannot be parted into those that choose and those"
            " that judge. Capture with `--keep-gates all`, or give the command other images with `--data`."
        )
    return ""


def duration(seconds: float) -> str:
    """A time in rough words."""
    if seconds < 35:
        return "half a minute"
    if seconds < 90:
        return "a minute"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{round(seconds / 3600)} hours"


def points(share: str) -> str:
    points = f"{100 * float(share):g}"
    return f"{points} point" if points == "1" else f"{points} points"
