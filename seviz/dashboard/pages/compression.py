"""Compression lab: make the network of the run smaller, and compare what came of it."""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import altair as alt
import pandas as pd
import streamlit as st

from seviz.dashboard.escaping import escaped
from seviz.dashboard.jobs import jobs
from seviz.dashboard.plots.charts import HEIGHT, depth, heatmap, show
from seviz.dashboard.results import (
    Result,
    called,
    check_writable,
    compared,
    curves,
    damage,
    damage_masked,
    free_directory,
    network_zip,
    read_results,
)
from seviz.dashboard.selection import choose, choose_number, choose_some, select, value
from seviz.dashboard.view import Page, View
from seviz.dashboard.waiting import begin, watch
from seviz.errors import OptionError, SevizError
from seviz.run.store import Run

ACTIONS = {
    "mask": "Mask channels",
    "fold": "Fold SE blocks",
    "remove": "Take SE blocks out",
    "prune": "Prune channels",
    "specialise": "Specialise to classes",
}
CRITERIA = {
    "gate_mean": "mean gate",
    "gate_effective": "mean of |s·u|",
    "gate_variance": "variance of the gate",
    "gate_class": "mean gate over some classes",
    "gate_between": "variance of the gate between classes",
    "random": "random",
    "l1": "L1 norm of the filter",
    "l2": "L2 norm of the filter",
    "bn_gamma": "scale of the BatchNorm",
    "taylor": "Taylor, |s · dL/ds|",
    "activation_mean": "mean activation",
    "apoz": "share of activations above 0",
    "conductance": "conductance (slow)",
    "integrated_gradients": "integrated gradients (slow)",
}
"""What a channel may be worth, as in `seviz.compression.importance.CRITERIA`, which imports torch."""
INNER = ("gate_mean", "gate_class", "weights", "l1", "l2", "bn_gamma", "taylor", "random")
"""The same of inner channels, as in `seviz.compression.inner.INNER_CRITERIA`."""
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
COSTS = {"multiply_adds": "multiply-adds", "parameters": "parameters", "bytes": "size of the weights"}
FRACTIONS = ("0.05", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9")
DROPS = ("0.002", "0.005", "0.01", "0.02", "0.05", "0.1")
ROWS = 40
"""Classes that are shown at most."""

_FIXED = ("l1", "l2", "bn_gamma")  # of the weights alone: the same for every seed
_SLOW = ("conductance", "integrated_gradients")
_FROM_IMAGES = ("taylor", "activation_mean", "apoz", *_SLOW)
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

    def arguments(self, run: Path, out: Path) -> list[str]:
        """The command line behind `seviz`."""
        return [self.command, str(run), "-o", str(out), *self.options]

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
    named = [f"gate_class:{_listed(classes)}" if each == "gate_class" else each for each in criteria]
    options = ["--criteria", ";".join(named), "--fractions", ",".join(fractions)]
    draws = {each: 1 if each in _FIXED else seeds for each in criteria}
    passes = _FINAL * (1 + sum(draws.values()) * len(fractions))
    passes += sum(
        _SCORE / 2 * draws[each] * (2000 if each in _SLOW else 3) for each in criteria if each in _FROM_IMAGES
    )
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
        "drop": f"as many of {n} SE blocks as cost no more than {_points(drop)} of accuracy",
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
    """Channels taken out for good: a share of flops or parameters remains, or a share of channels goes."""
    passes = _FINAL * (2 + recalibrate) + _SCORE * (recalibrate + 3 * (criterion in _FROM_IMAGES))
    passes += _SCORE * 2000 * (criterion in _SLOW)
    budget = {
        "flops": f"{percent} % of the multiply-adds remain",
        "parameters": f"{percent} % of the parameters remain",
        "channels": f"{percent} % of these channels are gone",
    }[share_of]
    what = {"auto": "Channels"}.get(kind, KINDS[kind][0].upper() + KINDS[kind][1:])
    says = (
        f"{what} are taken out for good, those that are worth least first, until {budget}. What a channel is worth:"
        f" {_worth(criterion, classes)}.{_after(recalibrate, latency, program, classes)}"
    )
    options = [f"--{share_of}", f"{percent / 100:g}", "--kind", kind, "--criterion", criterion, "--scope", scope]
    options += ["--classes", _listed(classes)] if classes else []
    switches = _switches(recalibrate, latency, program)
    return Plan(command="prune", options=(*options, *switches), says=says, passes=passes)


def _worth(criterion: str, classes: Sequence[str]) -> str:
    """A criterion in words; for some classes the mean gate is theirs."""
    if criterion == "gate_mean" and classes:
        return CRITERIA["gate_class"]
    return {"weights": "what its weights let through"}.get(criterion) or CRITERIA[criterion]


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
    data = run.manifest.data
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


def page(view: View) -> None:
    """The jobs under way, the lab, and the results."""
    _jobs(view.run)
    with st.container(border=True):
        _lab(view)
    found = read_results(view.run.path)
    st.subheader("Results")
    for remark in found.remarks:
        st.warning(escaped(remark), icon=":material/info:")
    if not found.results:
        st.info("Nothing was compressed yet from this run. What the lab makes is listed here, side by side.")
        return
    smaller, masks = found.of("fold", "prune"), found.of("mask")
    if smaller:
        _side_by_side(smaller)
    if masks:
        _masking(masks, view.run)
    _one(found.results)


def _jobs(run: Run) -> None:
    """Jobs under way, and why the last one came to nothing, if it did."""
    own = jobs().of(run.path, "compress")
    for job in own:
        if job.state == "running":
            watch(job)
    if own and own[0].state == "failed":
        st.error("\n\n".join([f"{own[0].title} failed.", *map(escaped, own[0].messages[-3:])]), icon=":material/error:")
    elif own and own[0].state == "cancelled":
        st.info(f"{own[0].title} was cancelled; nothing of it was kept.", icon=":material/block:")


def _lab(view: View) -> None:
    """What is to be done, in words and as a command, and the button that starts it."""
    action = choose("action", "What to do", list(ACTIONS), widget=st.segmented_control, shown=ACTIONS.__getitem__)
    if reason := refused(view.run):
        st.info(reason, icon=":material/block:")
        return
    draw: dict[str, Callable[[View], Plan | None]] = {
        "mask": _mask,
        "fold": _fold,
        "remove": partial(_fold, remove=True),
        "prune": _prune,
        "specialise": _specialise,
    }
    try:
        plan = draw[action](view)
        if plan is None:
            return
        running = [job.result.name for job in jobs().of(view.run.path) if job.state == "running" and job.result]
        out = free_directory(view.run.path, action, running)
        arguments = plan.arguments(view.run.path, out)
        st.markdown(f"{escaped(plan.says)} On two processor cores it takes about {duration(plan.seconds(view.run))}.")
        st.code(shlex.join(["seviz", *arguments]), language=None, wrap_lines=True)
        if st.button("Start", key="start_compression", type="primary", icon=":material/play_arrow:"):
            check_writable(out.parent)
            select(result=None)  # the new one is shown when it is there
            about = {"kind": "compress", "action": action}
            begin(f"{ACTIONS[action]} ({out.name})", arguments, run=view.run, about=about, result=out)
    except SevizError as error:
        st.error(escaped(str(error)), icon=":material/error:")


def _criteria(run: Run) -> list[str]:
    """Those that can be made from a run."""
    return [each for each in CRITERIA if each != "gate_effective" or "response" in run.manifest.signals]


def _mask(view: View) -> Plan | None:
    options = _criteria(view.run)
    criteria = choose_some(
        "criteria", "Criteria", options, default=("gate_mean", "l1"), shown=CRITERIA.__getitem__, help=_WORTH
    )
    classes = view.choose_classes("Classes of the criterion", default=2) if "gate_class" in criteria else []
    left, middle, right = st.columns(3)
    with left:
        fractions = choose_some(
            "fractions",
            "Shares masked",
            FRACTIONS,
            default=("0.2", "0.4", "0.6"),
            shown=lambda each: f"{float(each):.0%}",
        )
    with middle:
        scope = choose("scope", "Channels compete", list(SCOPES), shown=SCOPES.__getitem__)
    with right:
        seeds = choose_number("seeds", "Seeds", 1, 9, default=1, help=_SEEDS)
    if "gate_class" in criteria and not classes:
        st.info("Choose a class for the criterion by classes.")
        return None
    return plan_mask(criteria, sorted(fractions), scope=scope, seeds=seeds, classes=classes)


def _fold(view: View, *, remove: bool = False, classes: Sequence[str] = ()) -> Plan | None:
    blocks, count, drop, order = [], 1, DROPS[0], "variance"
    shown = {"blocks": "these blocks", "count": "so many", "drop": "by accuracy", "all": "all"}
    left, right = st.columns(2)
    with left:
        budget = choose("budget", "Which blocks", list(shown), default="drop", shown=shown.__getitem__)
        if budget == "blocks":
            blocks = choose_some("gone", "SE blocks", view.run.blocks, default=(view.block,))
            blocks = [each for each in view.run.blocks if each in blocks]
        elif budget == "count":
            count = choose_number(
                "count", "How many", 1, len(view.run.blocks), default=max(1, len(view.run.blocks) // 2)
            )
        elif budget == "drop":
            drop = choose(
                "drop",
                "Accuracy that may be lost",
                DROPS,
                default="0.01",
                widget=st.select_slider,
                shown=_points,
            )
    with right:
        if budget != "blocks":
            order = choose("first", "Which go first: those with the", list(ORDERS), shown=ORDERS.__getitem__)
        switches = _choose_switches(recalibrate=False)
    return plan_fold(
        view.run,
        remove=remove,
        budget=budget,
        blocks=blocks,
        count=count,
        drop=drop,
        order=order,
        classes=classes,
        **switches,
    )


def _points(share: str) -> str:
    points = f"{100 * float(share):g}"
    return f"{points} point" if points == "1" else f"{points} points"


def _prune(view: View, classes: Sequence[str] = ()) -> Plan | None:
    left, right = st.columns(2)
    with left:
        shown = {
            "flops": "multiply-adds that remain",
            "parameters": "parameters that remain",
            "channels": "channels to go",
        }
        share_of = choose("share_of", "Budget", list(shown), shown=shown.__getitem__)
        usual = 30 if share_of == "channels" else 70
        percent = choose_number("share", f"{shown[share_of].capitalize()}, in %", 5, 95, default=usual)
        kind = choose("part", "What goes", list(KINDS), shown=KINDS.__getitem__)
    options = {"inner": list(INNER), "auto": [each for each in INNER if each in CRITERIA]}.get(
        kind, _criteria(view.run)
    )
    options = [each for each in options if each != "gate_class"]  # for some classes the mean gate is theirs
    with right:
        criterion = choose(
            "worth",
            "What a channel is worth",
            options,
            shown=lambda each: _worth(each, classes),
            help=_WORTH,
        )
        scope = choose("scope", "Channels compete", list(SCOPES), shown=SCOPES.__getitem__)
        switches = _choose_switches(recalibrate=True)
    return plan_prune(
        share_of=share_of,
        percent=percent,
        kind=kind,
        criterion=criterion,
        scope=scope,
        classes=classes,
        **switches,
    )


def _specialise(view: View) -> Plan | None:
    shown = {"fold": "SE blocks folded", "prune": "channels pruned"}
    left, right = st.columns([3, 2])
    with left:
        classes = view.choose_classes("Classes that the network shall tell", default=3)
    with right:
        how = choose("how", "By", list(shown), widget=st.segmented_control, shown=shown.__getitem__)
    return _fold(view, classes=classes) if how == "fold" else _prune(view, classes)


def _choose_switches(*, recalibrate: bool) -> dict[str, bool]:
    """What is done beside: recalibrate, latency, program."""
    with st.container(horizontal=True):
        return {
            "recalibrate": _yes("recalibrate", "Recalibrate", recalibrate, "Estimate BatchNorm statistics anew."),
            "latency": _yes("latency", "Time it", True, "Milliseconds for an image, beside the original."),
            "program": _yes(
                "program", "torch.export", False, "Write it as a program that torch runs without seviz too."
            ),
        }


def _yes(key: str, label: str, default: bool, help: str) -> bool:
    """A switch that follows the selection."""
    name = f"widget_{key}"
    st.session_state[name] = {"yes": True, "no": False}.get(value(key), default)

    def changed() -> None:
        select(**{key: "yes" if st.session_state[name] else "no"})

    return bool(st.toggle(label, key=name, on_change=changed, help=help))


def _side_by_side(results: Sequence[Result]) -> None:
    """Smaller networks beside their originals, as a table and against what they cost."""
    table = compared(results)
    st.markdown("**Before and after.** A row for each network; of those for some classes only images of these count.")
    st.dataframe(beside(table), hide_index=True, column_config=_COLUMNS, width="stretch")
    cost = choose("cost", "Against", list(COSTS), widget=st.segmented_control, shown=COSTS.__getitem__)
    _scatter(table, cost)


def beside(table: pd.DataFrame) -> pd.DataFrame:
    """The comparison as it is shown: shares with their intervals in words."""
    shown = pd.DataFrame(
        {
            "result": table["result"],
            "network": table["network"],
            "judged on": table["classes"].where(table["classes"] != "all", "all classes").str.replace(",", ", "),
            "SE blocks": table["blocks"],
            "accuracy": table["accuracy"],
            "interval": [f"{low:.1%} – {high:.1%}" for low, high in zip(table["low"], table["high"], strict=True)],
            "points lost": [
                "" if first else f"{100 * drop:.1f} ({100 * low:.1f} – {100 * high:.1f})"
                for first, drop, low, high in zip(
                    table["original"], table["drop"], table["drop_low"], table["drop_high"], strict=True
                )
            ],
            "parameters": table["parameters"],
            "of parameters": table["share_parameters"],
            "multiply-adds": table["multiply_adds"],
            "of multiply-adds": table["share_multiply_adds"],
            "weights": table["bytes"],
        }
    )
    if "latency_ms" not in table:
        return shown
    return shown.assign(**{"ms an image": table["latency_ms"], "times faster": table["latency_ratio"]})


_PERCENT, _COMPACT = st.column_config.NumberColumn(format="percent"), st.column_config.NumberColumn(format="compact")
_COLUMNS = {
    "network": st.column_config.TextColumn(width="medium"),
    "accuracy": _PERCENT,
    "interval": st.column_config.TextColumn(help="95 %, Wilson's"),
    "points lost": st.column_config.TextColumn(help="of accuracy, against the original on the same images; 95 %"),
    "parameters": _COMPACT,
    "of parameters": _PERCENT,
    "multiply-adds": _COMPACT,
    "of multiply-adds": _PERCENT,
    "weights": st.column_config.NumberColumn(format="bytes"),
    "ms an image": st.column_config.NumberColumn(format="%.1f"),
    "times faster": st.column_config.NumberColumn(format="%.2f", help="than the original, timed in turn with it"),
}


def _scatter(table: pd.DataFrame, cost: str) -> None:
    """Accuracy against what is left of a cost, with intervals; each smaller network is joined to its original."""
    what = table["action"].map(ACTIONS).where(~table["original"], "Original")
    # the same original measured on the same images is one mark
    again = table["original"] & table.duplicated(["original", "classes", "images", "accuracy"])
    points = table.assign(share=table[f"share_{cost}"], what=what, shown=~again)
    order = ["Original", *(each for each in ACTIONS.values() if each in set(what))]
    accuracy = alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(zero=False), axis=alt.Axis(format=".0%"))
    share = alt.X("share:Q", title=f"{COSTS[cost]} left", scale=alt.Scale(zero=False), axis=alt.Axis(format=".1~%"))
    legend = alt.Legend(orient="bottom", columns=2)
    base = alt.Chart(points).encode(x=share, y=accuracy)
    looks = {
        "color": alt.Color("what:N", sort=order, title=None, legend=legend),
        "shape": alt.Shape("what:N", sort=order, title=None, legend=legend),
    }
    joined = base.mark_line(color="gray", opacity=0.5, strokeWidth=1).encode(detail="result:N")
    seen = base.transform_filter("datum.shown")
    whiskers = seen.mark_rule().encode(y=alt.Y("low:Q", title="accuracy"), y2="high:Q", color=looks["color"])
    marks = seen.mark_point(filled=True, size=90, opacity=1).encode(
        **looks,
        tooltip=[
            alt.Tooltip("result:N"),
            alt.Tooltip("network:N"),
            alt.Tooltip("classes:N", title="judged on"),
            alt.Tooltip("accuracy:Q", format=".1%"),
            alt.Tooltip("low:Q", format=".1%", title="from"),
            alt.Tooltip("high:Q", format=".1%", title="to"),
            alt.Tooltip("share:Q", format=".1%", title=f"{COSTS[cost]} left"),
            alt.Tooltip("images:Q"),
        ],
    )
    numbers = base.transform_filter("datum.last").mark_text(align="left", dx=8, dy=-8, color="gray")
    show(
        (joined + whiskers + marks + numbers.encode(text="number:N")).properties(height=HEIGHT + 60),
        alt_text=f"Accuracy of {len(table)} networks against the share of {COSTS[cost]} that is left, with intervals.",
    )
    st.caption("Whiskers are 95 % intervals. Numbers are those of the results; a line joins each to its original.")


def _masking(results: Sequence[Result], run: Run) -> None:
    """All masking curves in one chart."""
    table = curves(results)
    st.markdown("**Channels masked.** What is left of the accuracy when those of the lowest score are set to zero.")
    names = list(dict.fromkeys(table["curve"]))
    chosen = choose_some("curves", "Curves shown", names, default=names)
    _curves(table[table["curve"].isin(chosen)], run)


def _curves(table: pd.DataFrame, run: Run) -> None:
    """A line for each curve, with its band."""
    names = list(dict.fromkeys(table["curve"]))
    legend = alt.Legend(orient="bottom", columns=2, symbolOpacity=1, symbolSize=100)
    look: dict[str, Any] = {"sort": names, "title": None, "legend": legend}
    base = alt.Chart(table).encode(
        x=alt.X("fraction:Q", title="share of the channels masked", axis=alt.Axis(format=".0%")),
        y=alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])),
    )
    lines = base.mark_line().encode(color=alt.Color("curve:N", **look), strokeDash=alt.StrokeDash("curve:N", **look))
    band = base.mark_area(opacity=0.15).encode(
        y=alt.Y("low:Q", title="accuracy"), y2="high:Q", color=alt.Color("curve:N", **look)
    )
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(
        color=alt.Color("curve:N", **look),
        shape=alt.Shape("curve:N", **look),
        tooltip=[
            alt.Tooltip("curve:N", title="criterion"),
            alt.Tooltip("fraction:Q", format=".0%", title="masked"),
            alt.Tooltip("channels:Q", format=",.0f", title="channels masked"),
            alt.Tooltip("accuracy:Q", format=".1%"),
            alt.Tooltip("low:Q", format=".1%", title="from"),
            alt.Tooltip("high:Q", format=".1%", title="to"),
            alt.Tooltip("seeds:Q"),
            alt.Tooltip("scope:N"),
            alt.Tooltip("result:N"),
        ],
    )
    chart = band + lines + dots
    if classes := run.manifest.model.class_ids:
        chance = alt.Chart(pd.DataFrame({"accuracy": [1 / len(classes)], "name": ["by chance"]}))
        chart += chance.mark_rule(strokeDash=[2, 3], color="gray").encode(y="accuracy:Q", tooltip="name:N")
    show(chart.properties(height=HEIGHT + 60), alt_text=f"Accuracy against channels masked, by {', '.join(names)}.")
    st.caption("Shaded are 95 % intervals; with several seeds, for other seeds too. The dotted line is chance.")


def _one(results: Sequence[Result]) -> None:
    """One result in detail."""
    by_name = {result.name: result for result in results}
    st.subheader("One result")
    name = choose(
        "result",
        "Result",
        list(by_name),
        default=results[-1].name,
        shown=lambda each: f"{each}: {by_name[each].summary}",
    )
    result = by_name[name]
    try:
        if result.kind == "mask":
            _masked(result)
        else:
            _smaller(result)
    except (OSError, ValueError, KeyError) as error:
        st.warning(f"Not all of it can be shown: {escaped(str(error))}", icon=":material/info:")
    with st.expander("How it was made", icon=":material/receipt_long:"):
        st.dataframe(
            pd.DataFrame({"what": list(result.settings), "value": list(result.settings.values())}),
            hide_index=True,
            width="stretch",
        )
    with st.expander("Its card", icon=":material/description:"):
        st.code(result.card, language="markdown", wrap_lines=True, height=480)
    _downloads(result)


def _masked(result: Result) -> None:
    """What masking does to each class."""
    if "by_class" not in result.tables:
        return
    by_class = result.table("by_class")
    shares = [f"{share:g}" for share in sorted(set(by_class["fraction"])) if share > 0]
    if not shares:
        st.info("Nothing was masked in it.")
        return
    at = choose("at", "Share masked", shares, widget=st.segmented_control, shown=lambda each: f"{float(each):.0%}")
    share = next(share for share in set(by_class["fraction"]) if f"{share:g}" == at)
    table = damage_masked(by_class, share, ROWS)
    st.markdown(f"**Accuracy lost by class** with {float(at):.0%} of the channels masked; red is lost, blue gained.")
    heatmap(
        table,
        rows="class",
        columns="criterion",
        value="accuracy lost",
        alt_text=f"Accuracy that each class loses by each criterion with {float(at):.0%} of the channels masked.",
        signed=True,
        height=140 + 22 * len(table),  # a line for each name
    )
    _counted(len(table), by_class["class"].nunique())


def _smaller(result: Result) -> None:
    """What a smaller network reaches and costs, how far it could go, and what it does to each class."""
    before, after = result.main.iloc[0], result.main.iloc[-1]
    with st.container(horizontal=True):
        gained = _signed(100 * (after["accuracy"] - before["accuracy"]), "points")
        st.metric("Accuracy", f"{after['accuracy']:.1%}", gained, border=True, width=140)
        for column, label in (
            ("parameters", "Parameters"),
            ("multiply_adds", "Multiply-adds"),
            ("bytes", "Weights, bytes"),
        ):
            given = f"{after[column] / 1e6:.3g} M"
            change = _signed(100 * (after[column] / before[column] - 1), "%")
            st.metric(label, given, change, delta_color="inverse", border=True, width=140)
        if "latency_ms" in result.main:
            faster = f"{after['latency_ratio']:.2f} times as fast"
            st.metric("An image", f"{after['latency_ms']:.1f} ms", faster, delta_color="off", border=True, width=170)
    if "front" in result.tables:
        _front(result.table("front"), int(before["blocks"] - after["blocks"]))
    if result.kind == "fold":
        _blocks(result.table("blocks"), "taken out" if result.action == "remove" else "folded")
    else:
        _removed(result.table("removed"))
    if "classes" in result.tables:
        _classes(result.table("classes"))


def _signed(change: float, unit: str) -> str | None:
    """A change with its sign, none where it is rounded to nothing."""
    return f"{change:+.1f} {unit}" if round(change, 1) else None


def _front(table: pd.DataFrame, folded: int) -> None:
    """Accuracy with more and more blocks folded, and how many were."""
    st.markdown(
        "**One block after the other.** The accuracy with more and more SE blocks folded; the line is this result."
    )
    title = alt.Axis(format=".0%", title="accuracy")
    base = alt.Chart(table).encode(
        x=alt.X("folded:Q", title="SE blocks folded", axis=alt.Axis(tickMinStep=1, format="d"))
    )
    band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", axis=title, scale=alt.Scale(zero=False)), y2="high:Q")
    line = base.mark_line(point=True).encode(
        y=alt.Y("accuracy:Q", axis=title),
        tooltip=[
            alt.Tooltip("folded:Q", title="blocks folded"),
            alt.Tooltip("block:N", title="the last of them"),
            alt.Tooltip("accuracy:Q", format=".1%"),
            alt.Tooltip("low:Q", format=".1%", title="from"),
            alt.Tooltip("high:Q", format=".1%", title="to"),
            alt.Tooltip("parameters:Q", format=",", title="parameters left"),
        ],
    )
    here = alt.Chart(pd.DataFrame({"folded": [folded]})).mark_rule(strokeDash=[4, 3], color="gray").encode(x="folded:Q")
    show(
        (band + line + here).properties(height=HEIGHT),
        alt_text=f"Accuracy against the number of SE blocks folded; {folded} are in this result.",
    )
    st.caption("Shaded is the 95 % interval.")


def _blocks(table: pd.DataFrame, done: str) -> None:
    """Which blocks are gone."""
    state = table["folded"].map({True: done, False: "kept"})
    given = table.assign(state=state, row="")
    st.markdown(f"**SE blocks.** {int(table['folded'].sum())} of {len(table)} are {done}.")
    chart = (
        alt.Chart(given)
        .mark_rect(cornerRadius=4)
        .encode(
            x=depth(list(given["block"]), None),
            color=alt.Color("state:N", sort=[done, "kept"], title=None, legend=alt.Legend(orient="bottom")),
            tooltip=["block:N", "state:N", "channels:Q", alt.Tooltip("parameters:Q", format=","), "reason:N"],
        )
        .properties(height=170)
    )
    show(
        chart, alt_text=f"The SE blocks in order of depth: {', '.join(given.loc[table['folded'], 'block'])} are {done}."
    )


def _removed(table: pd.DataFrame) -> None:
    """What is left of each block's channels."""
    if table.empty:
        st.info("What was removed cannot be told block by block: no feature map is made by convolutions alone.")
        return
    st.markdown("**What is left of each block.** The feature map that its gate scales, and the channels before it.")
    kinds = {"channels": "feature map", "inner": "channels before"}
    parts = [
        table[["block"]].assign(kind=name, before=table[f"{kind}_before"], after=table[f"{kind}_after"])
        for kind, name in kinds.items()
    ]
    long = pd.concat(parts, ignore_index=True)
    long["share"] = long["after"] / long["before"]
    chart = (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=depth(list(table["block"])),
            xOffset=alt.XOffset("kind:N", sort=list(kinds.values())),
            y=alt.Y("share:Q", title="channels left", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("kind:N", sort=list(kinds.values()), title=None, legend=alt.Legend(orient="bottom")),
            tooltip=["block:N", "kind:N", "before:Q", "after:Q", alt.Tooltip("share:Q", format=".0%", title="left")],
        )
        .properties(height=HEIGHT)
    )
    show(chart, alt_text="The share of channels left of each SE block, in order of depth.")


def _classes(classes: pd.DataFrame) -> None:
    """What each class lost, with intervals."""
    table = damage(classes, ROWS)
    st.markdown("**By class.** Points of accuracy lost against the original on the same images; gained, where below 0.")
    points = table.assign(
        name=called(table), lost=100 * table["drop"], least=100 * table["drop_low"], most=100 * table["drop_high"]
    )
    base = alt.Chart(points).encode(
        y=alt.Y("name:N", sort=list(points["name"]), title=None, axis=alt.Axis(labelLimit=140, labelOverlap=False)),
        x=alt.X("lost:Q", title="accuracy lost (points)"),
        tooltip=[
            alt.Tooltip("name:N", title="class"),
            alt.Tooltip("before:Q", format=".1%"),
            alt.Tooltip("accuracy:Q", format=".1%", title="after"),
            alt.Tooltip("lost:Q", format="+.1f", title="points lost"),
            alt.Tooltip("least:Q", format="+.1f", title="from"),
            alt.Tooltip("most:Q", format="+.1f", title="to"),
            alt.Tooltip("images:Q"),
        ],
    )
    whiskers = base.mark_rule(color="gray").encode(x=alt.X("least:Q", title="accuracy lost (points)"), x2="most:Q")
    zero = alt.Chart(pd.DataFrame({"lost": [0]})).mark_rule(color="gray", strokeDash=[4, 3]).encode(x="lost:Q")
    show(
        (zero + whiskers + base.mark_point(filled=True, size=70, opacity=1)).properties(height=100 + 22 * len(table)),
        alt_text=f"Accuracy that {len(table)} classes lost, with intervals.",
    )
    _counted(len(table), classes["class"].nunique())


def _counted(shown: int, of: int) -> None:
    if shown < of:
        st.caption(f"The {shown} of {of:,} classes where most changed; all are in the table to download.")


def _downloads(result: Result) -> None:
    """The smaller network as a zip file, made when it is asked for, and the tables."""
    with st.container(horizontal=True):
        if result.files:
            st.download_button(
                "Smaller network (zip)",
                partial(network_zip, result),
                file_name=f"{result.name}.zip",
                mime="application/zip",
                icon=":material/download:",
                type="primary",
                on_click="ignore",
                help=f"{', '.join(result.files)}; `seviz.load` reads the directory.",
            )
        for name in result.tables:
            st.download_button(
                f"{name}.csv",
                (result.path / f"{name}.csv").read_bytes,
                file_name=f"{result.name}-{name}.csv",
                mime="text/csv",
                icon=":material/table:",
                key=f"download_{name}",
                on_click="ignore",
            )


_WORTH = "Made of gates, or what gates are compared with: random, weights (L1, L2, BatchNorm), Taylor, activations."
_SEEDS = "Draws of the images that scores come from. One is quick; intervals count the draw from two on."

PAGE = Page(
    title="Compression lab",
    path="compression",
    icon=":material/compress:",
    says=(
        "What of this network can be left out, and what does that cost? Here gates decide which channels are switched"
        " off or removed for good and which SE blocks become constants, and each smaller network is measured beside the"
        " original."
    ),
    how=(
        "**Mask** sets the channels of the lowest score to zero, more and more of them: a quick experiment, the network"
        " keeps its size. **Fold** replaces the gates of an SE block by their means, **take out** by 1: the block is"
        " gone, its constants are in the weights. **Prune** removes channels for good. **Specialise** does either for"
        " a few classes. Scores, choices and the accuracy that is told come from different images of the run. That"
        " gates tell what a channel is worth is a hypothesis: compare with `random` and L1 at the same budget. Each"
        " result is kept in the run's directory, under `compressions`."
    ),
    draw=page,
    keys=(
        "action",
        "criteria",
        "fractions",
        "scope",
        "seeds",
        "budget",
        "gone",
        "count",
        "drop",
        "first",
        "part",
        "worth",
        "share_of",
        "share",
        "how",
        "recalibrate",
        "latency",
        "program",
        "cost",
        "curves",
        "result",
        "at",
    ),
    short="Compression",
)
