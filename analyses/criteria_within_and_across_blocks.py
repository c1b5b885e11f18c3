"""Which channels go first within a block, and from which blocks: two questions that one ranking mixes.

    python analyses/criteria_within_and_across_blocks.py runs/demo

A share of the channels is masked by each criterion, once of each block (which channels), once of the network as a whole
(which blocks, too); differences of criteria are paired over images, with their interval. Then how far the variance of
the gate between classes ranks the channels of a block as Taylor's criterion does, plainly and given the mean gate; and
what is lost if the lowest channels are held at their mean in place of zero.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from run_again import lost, open_again, pixels_of, predict
from scipy import stats

import seviz
from seviz.compression.masking import lowest, masked_channels
from seviz.registry import CRITERIA
from seviz.run.parts import Part, mean_over_images, split_rows
from seviz.stats.variance import split_variance

BY_DEFAULT = "gate_mean,gate_variance,gate_between,random,l1,l2,bn_gamma,taylor,activation_mean"
PRODUCTS = {
    "gate x gamma": ("gate_mean", "bn_gamma"),
    "gate x l1": ("gate_mean", "l1"),
    "gate x l2": ("gate_mean", "l2"),
}
PAIRS = (("l2", "gate_mean"), ("taylor", "l2"), ("gate x l2", "l2"), ("gate x gamma", "gate_mean"), ("gate x l1", "l1"))


def given(values: NDArray[np.floating], mean: NDArray[np.floating]) -> NDArray[np.floating]:
    """What is left of values that a quadratic of the mean gate does not explain, (channel)."""
    terms = np.column_stack([np.ones(len(mean)), mean, mean**2])
    return values - terms @ np.linalg.lstsq(terms, values, rcond=None)[0]


def correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """In [-1, 1]; NaN where one does not vary."""
    flat = np.ptp(one) < 1e-12 or np.ptp(other) < 1e-12
    return float("nan") if flat else float(np.corrcoef(one, other)[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Criteria for channels, within blocks and across them.")
    parser.add_argument("run", type=Path, help="with the gates of all images kept, such as that of `seviz demo`")
    parser.add_argument("--criteria", default=BY_DEFAULT, help="with commas")
    parser.add_argument("--fraction", type=float, default=0.3, help="of the channels that is masked")
    parser.add_argument("--trust-code", action="store_true", help="as in seviz")
    options = parser.parse_args()
    run, network, data = open_again(options.run, trust_code=options.trust_code)
    rows = split_rows(run, {"score": 0.5, "final": 0.5}, seed=0)
    part, images = Part(run, rows["score"]), data.take(rows["score"])
    pixels = pixels_of(run, network, data.take(rows["final"]))
    scores: dict[str, pd.DataFrame] = {}
    for name in options.criteria.split(","):
        of_run = part if CRITERIA[name].signals else None
        scores[name] = seviz.importance(network, of_run, name, data=images, workers=0)
    for name, (one, other) in PRODUCTS.items():
        if one in scores and other in scores:
            scores[name] = scores[one].assign(score=scores[one]["score"] * scores[other]["score"])
    if "gate_mean" in scores:
        shares = [np.nan_to_num(split_variance(part.moments(b)).by_channel()["omega_squared"]) for b in run.blocks]
        scores["class share"] = scores["gate_mean"].assign(score=np.maximum(np.concatenate(shares), 0))
        scores["- class share"] = scores["class share"].assign(score=1 - scores["class share"]["score"])
    plain = predict(network, pixels, {}) == pixels.labels
    print(f"{plain.mean():.1%} of {len(plain)} images right; {options.fraction:.0%} of the channels masked\n")
    print("| criterion | of each block | of the network |\n|---|---:|---:|")
    right: dict[tuple[str, str], NDArray[np.bool_]] = {}
    for name, table in scores.items():
        for scope in ("block", "global"):
            chosen = masked_channels(network, lowest(table, options.fraction, scope=scope))  # type: ignore[arg-type]
            forced = {block: dict.fromkeys(channels.tolist(), 0.0) for block, channels in chosen.items()}
            right[name, scope] = predict(network, pixels, forced) == pixels.labels
        print(f"| {name} | {right[name, 'block'].mean():.3f} | {right[name, 'global'].mean():.3f} |", flush=True)
    print("\n| scope | better by | than | points | from | to |\n|---|---|---|---:|---:|---:|")
    for scope in ("block", "global"):
        for one, other in PAIRS:
            if one in scores and other in scores:
                more, low, high = lost(right[one, scope], right[other, scope])
                print(f"| {scope} | {one} | {other} | {more:+.3f} | {low:+.3f} | {high:+.3f} |")
    if {"taylor", "gate_mean"} <= set(scores):
        print("\n| rank correlation with taylor | plain | given the mean gate |\n|---|---:|---:|")
        for name in ("gate_between", "class share", "gate_mean"):
            if name in scores:
                _correlate(scores, name)
    for name in ("gate_between", "gate_variance", "random"):
        if name in scores:
            low = lowest(scores[name], options.fraction, scope="block")
            held = {b: {int(k): float(mean_over_images(part, b)[k]) for k in channels} for b, channels in low.items()}
            now = (predict(network, pixels, held) == pixels.labels).mean()
            print(f"\nheld at their mean, the lowest of each block by {name}: {now:.3f}")


def _correlate(scores: dict[str, pd.DataFrame], name: str) -> None:
    """Print how far a criterion ranks channels as taylor does, mean over blocks."""
    plain, apart = [], []
    for _, group in scores["taylor"].groupby("block", sort=False):
        own, taylor, mean = (
            stats.rankdata(table.loc[group.index, "score"])
            for table in (scores[name], scores["taylor"], scores["gate_mean"])
        )
        plain.append(correlation(own, taylor))
        apart.append(correlation(given(own, mean), given(taylor, mean)))
    print(f"| {name} | {np.mean(plain):.2f} | {np.mean(apart):.2f} |")


if __name__ == "__main__":
    main()
