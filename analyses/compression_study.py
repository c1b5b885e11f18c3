# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # What the gates of an SE network are worth when it is made smaller
#
# Hu et al. (arXiv:1709.01507) end by saying that the channel importance which SE blocks induce may help network
# compression. Here that is put to the test on the network that ships with seviz: gates as scores of channels beside
# the usual ones, gates folded into the weights, and channels pruned to half of the multiply-adds. Whatever comes out is
# printed, also where gates lose.
#
#     python analyses/compression_study.py --data cifar10:ROOT --per-class 200 --out runs/compression
#     python analyses/compression_study.py --short --out runs/short
#
# The first takes the test images of CIFAR-10 and fine-tunes on its training images, the second is a few minutes' form
# on bundled images, for tests. As a notebook: `jupytext --to ipynb analyses/compression_study.py`.
#
# Scores, choices and the figures come from images that share none; three seeds draw the images that scores come from,
# and the order of fine-tuning.

# %%
import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

import seviz
from seviz.capture.datasets import Dataset, open_dataset
from seviz.compression.curves import masking_curve
from seviz.compression.directory import markdown
from seviz.compression.folding import constant_gates, fold_to, remove
from seviz.compression.inner import inner_scores
from seviz.compression.planning import ORDERS, folding_front, folding_order
from seviz.compression.pruning import prune, pruning_table
from seviz.compression.recalibration import recalibrate
from seviz.compression.splitting import scoring_samples, split
from seviz.compression.tuning import fine_tune
from seviz.experiments.measure import measure
from seviz.figures.compression import folding_front as draw_front
from seviz.figures.compression import removed_by_block
from seviz.figures.masking import damage_by_class, masking_curves
from seviz.figures.style import save
from seviz.options import Reading

parser = argparse.ArgumentParser(description="What the gates of an SE network are worth when it is made smaller.")
parser.add_argument("--data", default="bundled", help="bundled, or cifar10:ROOT")
parser.add_argument("--out", type=Path, default=Path("runs/compression"), help="for tables, figures and checkpoints")
parser.add_argument("--short", action="store_true", help="few images, criteria, seeds and epochs")
parser.add_argument("--per-class", type=int, help="only so many images of each class, for scores and all")
parser.add_argument("--epochs", type=int, default=2, help="of fine-tuning")
parser.add_argument("--train-images", type=int, default=10_000, help="an epoch of fine-tuning")
parser.add_argument("--workers", type=int, default=0)
args = parser.parse_args([] if "ipykernel" in sys.modules else None)

NETWORK = "seviz/seresnet50-cifar10"
GATES = ["gate_mean", "gate_effective", "gate_variance", "gate_between"]
OTHERS = ["random", "l1", "l2", "bn_gamma", "taylor", "activation_mean", "apoz", "conductance", "integrated_gradients"]
CLASSES = ["cat", "dog", "deer"]
SEEDS = [0] if args.short else [0, 1, 2]
CRITERIA = ["gate_mean", "random", "l1", "taylor"] if args.short else GATES + OTHERS
FRACTIONS = [0.3] if args.short else [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8]
READING = Reading(workers=args.workers)
args.out.mkdir(parents=True, exist_ok=True)


def show(title: str, table: pd.DataFrame, columns: list[str] | None = None) -> None:
    """Print a table, and keep all of it."""
    print(f"\n## {title}\n")
    print("\n".join(markdown(table[columns] if columns else table)))
    table.to_csv(args.out / f"{title.lower().replace(' ', '-').replace(',', '')}.csv", index=False)


def timed(what: str, begun: float) -> None:
    print(f"\n({what}: {time.time() - begun:.0f} s)")


# %% [markdown]
# ## The network, a run of it, and its images parted

# %%
begun = time.time()
network = seviz.load(NETWORK)
data = open_dataset(args.data, per_class=6 if args.short else args.per_class)
run = seviz.collect(
    network,
    data,
    out=args.out / "run",
    signals=("excitation", "response"),
    keep_gates="all",
    compile="off",
    workers=args.workers,
)
parts = split(run, data, score=0.4, choose=0.2, seed=0)
samples = scoring_samples(parts, SEEDS)
print(f"{network.spec}, {len(network.blocks)} SE blocks, top-1 {run.accuracy.top1:.1%} of {len(data)} images")
print(*(f"{name}: {value}" for name, value in parts.record.items()), sep="\n")
timed("capture", begun)

# %% [markdown]
# ## What channels are worth, by several criteria
#
# How much the criteria agree: the rank correlation of their scores over the channels of a block, mean over blocks.

# %%
begun = time.time()
BY_WEIGHTS = ("l1", "l2", "bn_gamma")
scores: dict[tuple[str, int], pd.DataFrame] = {}
for criterion in CRITERIA:
    for seed in SEEDS[:1] if criterion in BY_WEIGHTS else SEEDS:
        part, images = samples[seed]
        named = f"random:{seed}" if criterion == "random" else criterion
        # few images, since captum goes through the network 32 times for each block
        few = {"per_class": 2} if criterion in ("conductance", "integrated_gradients") else {}
        scores[criterion, seed] = seviz.importance(network, part, named, data=images, **few, workers=args.workers)


def agreement(some: pd.DataFrame, others: pd.DataFrame) -> float:
    """The rank correlation of two scores, mean over blocks."""
    both = some.assign(other=others["score"])
    return float(np.mean([group["score"].corr(group["other"], "spearman") for _, group in both.groupby("block")]))


ranks = pd.DataFrame(
    [[agreement(scores[a, 0], scores[b, 0]) for b in CRITERIA] for a in CRITERIA], columns=CRITERIA
).round(2)
ranks.insert(0, "criterion", CRITERIA)
show("Agreement of criteria", ranks)
timed("scores", begun)

# %% [markdown]
# ## Masking: does the gate beat random, L1 and Taylor?
#
# The channels of lowest score are set to zero, more and more of them, without any repair.

# %%
begun = time.time()
curves = masking_curve(network, parts.final, scores, fractions=FRACTIONS, reading=READING)
mean = curves.mean()
mean.to_csv(args.out / "curves.csv", index=False)
save(masking_curves(mean, chance=1 / len(curves.classes)), args.out / "curves.png")
worst = curves.by_class()
save(damage_by_class(worst[worst["criterion"] == "gate_mean"]), args.out / "damage-by-class.png")
wide = mean.pivot_table(index="criterion", columns="fraction", values="accuracy").loc[CRITERIA]
wide.insert(0, "mean", wide[[f for f in wide.columns if f > 0]].mean(axis=1))
wide = wide.sort_values("mean", ascending=False).reset_index()
wide.columns = [str(column) for column in wide.columns]
show("Accuracy with channels masked", wide)
timed("curves", begun)

order = wide["criterion"].tolist()
kept = wide.set_index("criterion")["mean"]
best_gate = next(name for name in order if name.startswith("gate"))
beaten = [name for name in order if name in OTHERS and kept[name] < kept[best_gate]]
better = [name for name in order if kept[name] > kept[best_gate]]
print(
    f"\nOf the scores made of gates {best_gate} keeps most accuracy."
    f" Better than it: {', '.join(better) or 'none'}. Worse: {', '.join(beaten) or 'none'}."
)

# %% [markdown]
# ## Folding: blocks become constants in the weights
#
# The front of accuracy against blocks folded, by four orders. Mean gates come from the images for scores, orders from
# the images to choose with, the accuracies from the rest.

# %%
begun = time.time()
gates = constant_gates(network, parts.run)
orders = {
    name: folding_order(network, parts.run, gates, name, data=parts.choose, reading=READING)
    for name in (ORDERS[:2] if args.short else ORDERS)
}
front = folding_front(network, gates, orders, parts.final, READING).table()
front.to_csv(args.out / "front.csv", index=False)
save(draw_front(front), args.out / "front.png")
some = front[front["folded"].isin([0, 1, 2, 3, 5, 8, 10, 13, 16])]
table = some.pivot_table(index="folded", columns="order", values="drop").reset_index()
table.columns = [str(column) for column in table.columns]
show("Accuracy lost by blocks folded", table)
timed("front", begun)

# %% [markdown]
# What recalibrating BatchNorm gives back, and what forcing gates to 1 does, all blocks or the last stage only. The
# paper takes out the SE blocks of the last stage of a network that is trained without them; here they are taken out of
# one that was trained with them.

# %%
begun = time.time()
last = [name for name, block in network.blocks.items() if block.stage == max(b.stage for b in network.blocks.values())]
folded = {"original": network}
best = "predicted" if args.short else "greedy"
for count in [len(orders[best])] if args.short else [5, 10, len(orders[best])]:
    folded[f"{count} folded"] = fold_to(network, {name: gates[name] for name in orders[best][:count]})
folded["last stage taken out"] = remove(network, last)
folded["all taken out"] = remove(network)
for name in [name for name in folded if name != "original"]:
    folded[f"{name}, recalibrated"] = recalibrate(folded[name], parts.score, workers=args.workers)
table = measure(folded, parts.final, READING).side_by_side()
show(
    "Folded, taken out, and recalibrated",
    table,
    ["network", "accuracy", "low", "high", "drop", "drop_low", "drop_high", "loss", "parameters", "blocks"],
)
timed("recalibration", begun)

# %% [markdown]
# ## Specialising: constants for three classes
#
# All blocks folded at the mean gates of all images, and of the images of three classes; accuracy on these classes,
# among all ten, and among the three alone.

# %%
begun = time.time()
special = {
    "original": network,
    "folded for all": fold_to(network, gates),
    f"folded for {', '.join(CLASSES)}": fold_to(network, constant_gates(network, parts.run, classes=CLASSES)),
}
table = measure(special, parts.final, READING, classes=CLASSES).side_by_side()
show("Specialised to three classes", table, ["network", "images", "accuracy", "low", "high", "accuracy_within", "drop"])
timed("specialising", begun)

# %% [markdown]
# ## Pruning to half of the multiply-adds
#
# The inner channels of the bottlenecks are removed for good, by what the gates behind let through of them (gate_mean),
# by the same with gates of 1 (weights), by their filters, their BatchNorm, Taylor, and at random; before any repair,
# after recalibrating BatchNorm, and after fine-tuning.

# %%
begun = time.time()
SHARE = 0.5
INNER = ("gate_mean", "random") if args.short else ("gate_mean", "weights", "l1", "bn_gamma", "taylor", "random")


def training_images(seed: int) -> Dataset:
    """Images to fine-tune with, none of which scores or figures come from."""
    if args.data == "bundled":
        return parts.score  # there are no others; the images that judge stay apart
    every = open_dataset(args.data, split="train")
    return every.take(np.sort(np.random.default_rng(seed).permutation(len(every))[: args.train_images]))


rows, networks = [], {}
for name in INNER:
    for seed in SEEDS:
        part, images = samples[seed]
        named = f"random:{seed}" if name == "random" else name
        worth = inner_scores(network, part, named, data=images, workers=args.workers)
        pruned = prune(network, worth, kind="inner", flops=SHARE)
        steps = {"pruned": pruned, "recalibrated": recalibrate(pruned, parts.score, workers=args.workers)}
        steps["fine-tuned"] = fine_tune(
            pruned,
            training_images(seed),
            epochs=1 if args.short else args.epochs,
            seed=seed,
            checkpoint=args.out / f"{name}-{seed}.ckpt",
            workers=args.workers,
        )
        measured = measure({"original": network, **steps}, parts.final, READING).side_by_side()
        rows.append(measured.assign(criterion=name, seed=seed))
        networks[name, seed] = steps
        pd.concat(rows).to_csv(args.out / "pruned-by-seed.csv", index=False)
every = pd.concat(rows, ignore_index=True)
table = (
    every[every["network"] != "original"]
    .groupby(["criterion", "network"], sort=False)
    .agg(
        accuracy=("accuracy", "mean"),
        least=("accuracy", "min"),
        most=("accuracy", "max"),
        loss=("loss", "mean"),
        parameters=("parameters", "mean"),
        multiply_adds=("multiply_adds", "mean"),
    )
    .reset_index()
)
original = every.iloc[0]
print(f"\noriginal: accuracy {original['accuracy']:.4f}, {original['multiply_adds']:,} multiply-adds")
show("Pruned to half of the multiply-adds", table)
first = networks["gate_mean", SEEDS[0]]["pruned"]
save(removed_by_block(pruning_table(network, first)), args.out / "removed-by-block.png")
timed("pruning", begun)

tuned = table[table["network"] == "fine-tuned"].sort_values("accuracy", ascending=False)
print(f"\nAfter fine-tuning, from the best: {', '.join(tuned['criterion'])}.")
