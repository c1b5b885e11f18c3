"""Compression lab: make the network of the run smaller, and compare what came of it."""

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from seviz.dashboard.escaping import escaped
from seviz.dashboard.jobs import jobs
from seviz.dashboard.lab.plans import (
    KINDS,
    ORDERS,
    SCOPES,
    Plan,
    criteria_of,
    duration,
    plan_fold,
    plan_mask,
    plan_prune,
    points,
    refused,
    worth_of,
)
from seviz.dashboard.lab.results import check_writable, free_directory, read_results
from seviz.dashboard.lab.showing import ACTIONS, masking, one_result, side_by_side
from seviz.dashboard.selection import choose, choose_number, choose_some, select, value
from seviz.dashboard.trusting import acts, untrusted
from seviz.dashboard.view import Page, View
from seviz.dashboard.waiting import begin, tell, watch
from seviz.errors import SevizError
from seviz.options import Budget
from seviz.run.store import Run
from seviz.texts import command_line

FRACTIONS = ("0.05", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9")
DROPS = ("0.002", "0.005", "0.01", "0.02", "0.05", "0.1")


def page(view: View) -> None:
    """The jobs under way, the lab, and the results."""
    _jobs(view.run)
    with st.container(border=True):
        _lab(view)
    found = read_results(view.run.path)
    st.subheader("Results")
    for remark in found.remarks:
        st.warning(escaped(remark), icon=":material/info:")
    if not len(found):
        st.info("Nothing was compressed yet from this run. What the lab makes is listed here, side by side.")
        return
    smaller, masks = found.of("fold", "prune"), found.of("curve")
    if smaller:
        side_by_side(smaller)
    if masks:
        masking(masks, view.run)
    one_result(found.compressions)


def _jobs(run: Run) -> None:
    """Jobs under way, and why the last one came to nothing, if it did."""
    own = jobs().of(run.path, "compress")
    for job in own:
        if job.state == "running":
            watch(job)
    if own:
        tell(own[0])


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
        if reason := untrusted(view.run, trust_code=view.trust_code):
            st.info(escaped(reason), icon=":material/shield:")
            return
        plan = draw[action](view)
        if plan is None:
            return
        running = [job.result.name for job in jobs().of(view.run.path) if job.state == "running" and job.result]
        out = free_directory(view.run.path, action, running)
        arguments = plan.arguments(view.run.path, out, trust_code=view.trust_code and acts(view.run))
        st.markdown(f"{escaped(plan.says)} On two processor cores it takes about {duration(plan.seconds(view.run))}.")
        st.code(command_line(["seviz", *arguments]), language=None, wrap_lines=True)
        if st.button("Start", key="start_compression", type="primary", icon=":material/play_arrow:"):
            check_writable(out.parent)
            select(result=None)  # the new one is shown when it is there
            about = {"kind": "compress", "action": action}
            begin(f"{ACTIONS[action]} ({out.name})", arguments, run=view.run, about=about, result=out)
    except SevizError as error:
        st.error(escaped(str(error)), icon=":material/error:")


def _mask(view: View) -> Plan | None:
    options = criteria_of("gated", signals=view.run.manifest.signals)
    criteria = choose_some("criteria", "Criteria", options, default=("gate_mean", "l1"), shown=worth_of, help=_WORTH)
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
                shown=points,
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


def _prune(view: View, classes: Sequence[str] = ()) -> Plan | None:
    left, right = st.columns(2)
    with left:
        shown = {quantity: f"{what} to keep" for quantity, what in Budget.OF.items()}
        share_of = choose("share_of", "Budget", list(shown), shown=shown.__getitem__)
        percent = choose_number("share", f"{shown[share_of].capitalize()}, in %", 5, 95, default=70)
        kind = choose("part", "What goes", list(KINDS), shown=KINDS.__getitem__)
    kinds = {"inner": ["inner"], "auto": ["gated", "inner"]}.get(kind, ["gated"])
    options = criteria_of(*kinds, signals=view.run.manifest.signals)
    options = [each for each in options if each != "gate_class"]  # for some classes the mean gate is theirs
    with right:
        criterion = choose(
            "worth",
            "What a channel is worth",
            options,
            default="gate_mean",
            shown=lambda each: worth_of(each, classes),
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
