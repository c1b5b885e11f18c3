"""Search every architecture of timm and torchvision for SE blocks, and write the table that ships with seviz.

    python analyses/zoo_survey.py

Each architecture is built with fresh weights and searched in a process of its own, under a time and a memory limit.
What is done is kept in a JSON-lines file; from that, and from the table, the same command continues.
"""

import argparse
import csv
import inspect
import json
import multiprocessing
import resource
import time
from collections import Counter
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.ssd import SSD

from seviz.network.blocks import Survey, survey

SE_TYPES = {
    *("CecaModule", "CircularEfficientChannelAttn", "EcaModule", "EffectiveSEModule", "EfficientChannelAttn"),
    *("SEModule", "SqueezeExcite", "SqueezeExcitation", "SqueezeExciteCl"),
}
"""Names of the types that are SE blocks by declaration. The search does not know them; the table compares."""

COLUMNS = (
    "model",
    "blocks",
    "gates",
    "channels",
    "first",
    "last",
    "declared",
    "types",
    "other",
    "disagreement",
    "note",
)
NO_IMAGE_NETWORKS = ("raft", "mc3_", "mvit_", "r2plus1d", "r3d_", "s3d", "swin3d", "quantized_")


def architectures() -> list[str]:
    """All of timm, and torchvision's networks of single images, as specs."""
    named = [name for name in torchvision.models.list_models() if not name.startswith(NO_IMAGE_NETWORKS)]
    return [f"timm/{name}" for name in timm.list_models()] + [f"torchvision/{name}" for name in named]


def build(spec: str) -> tuple[nn.Module, tuple[int, int, int]]:
    """The network with fresh weights, and the size of its images; of a detection network its backbone."""
    library, _, name = spec.partition("/")
    if library == "timm":
        model = timm.create_model(name)
        return model, timm.data.resolve_model_data_config(model)["input_size"]
    builder = torchvision.models.get_model_builder(name)
    no_backbone = {"weights_backbone": None} if "weights_backbone" in inspect.signature(builder).parameters else {}
    model = builder(weights=None, **no_backbone)
    if isinstance(model, GeneralizedRCNN | RetinaNet | FCOS | SSD):
        model = model.backbone
    side = {"inception_v3": 299, "ssd300_vgg16": 300}.get(name, 224)
    return model, (3, side, side)


def compare(model: nn.Module, found: Survey) -> tuple[int, str]:
    """How many modules of SE types there are, and where they and the search disagree, with the reason."""
    declared = {path for path, module in model.named_modules() if type(module).__name__ in SE_TYPES}
    holders = {block.path for block in found.blocks.values()}
    reasons = Counter[str]()
    for path in sorted(declared - holders):
        type_name = type(model.get_submodule(path)).__name__
        uncalled = any(path == quiet or path.startswith(f"{quiet}.") for quiet in found.uncalled)
        others = [other.kind for other in found.other if other.path == path]
        if uncalled:
            reasons[f"{type_name} never called"] += 1
        elif others:
            reasons[f"{type_name} scales {others[0]}"] += 1
        else:
            reasons[f"{type_name} unexplained"] += 1
    for path in sorted(holders - declared):
        reasons[f"found though called {type(model.get_submodule(path)).__name__}"] += 1
    return len(declared), "; ".join(f"{count} x {reason}" for reason, count in reasons.items())


def search(spec: str) -> dict[str, Any]:
    """One row of the table."""
    model, size = build(spec)
    found = survey(model, size)
    declared, disagreement = compare(model, found)
    names = list(found.blocks)
    types = Counter(type(model.get_submodule(block.path)).__name__ for block in found.blocks.values())
    return {
        "model": spec,
        "blocks": len(names),
        "gates": " ".join(sorted({block.gate for block in found.blocks.values()})),
        "channels": sum(block.channels for block in found.blocks.values()),
        "first": names[0] if names else "",
        "last": names[-1] if names else "",
        "declared": declared,
        "types": " ".join(f"{name}:{count}" for name, count in types.items()),
        "other": "; ".join(dict.fromkeys(other.kind for other in found.other)),
        "disagreement": disagreement,
        "note": "; ".join(f"{path} did not hold" for path in found.unverified),
    }


def parameters(spec: str) -> int:
    """How many parameters a network has, without allocating them; 0 where that cannot be told."""
    try:
        with torch.device("meta"):
            model, _ = build(spec)
    except Exception:
        return 0  # some constructors compute with their weights
    return sum(parameter.numel() for parameter in model.parameters())


def _child(spec: str, memory: int, pipe: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    torch.set_num_threads(1)
    try:
        row = search(spec)
    except Exception as error:  # an architecture that cannot be built or run is a row of the table, too
        reason = (str(error).splitlines() or [""])[0][:160]
        row = {"model": spec, "note": f"{type(error).__name__}: {reason}"}
    pipe.send(row)


def run_all(specs: list[str], ledger: Path, *, workers: int, seconds: float, memory: int) -> None:
    """Search all of them, the smallest first, some at a time, each in a process of its own."""
    context = multiprocessing.get_context("fork")
    sizes = {spec: 16 * parameters(spec) for spec in specs}  # bytes: weights, as many again, and activations
    waiting = sorted(specs, key=lambda spec: sizes[spec], reverse=True)
    running = dict[Connection, tuple[str, BaseProcess, float]]()
    done, start = 0, time.monotonic()
    while waiting or running:
        used = sum(sizes[spec] for spec, _, _ in running.values())
        while waiting and len(running) < workers and (not running or used + sizes[waiting[-1]] <= memory):
            spec = waiting.pop()
            mine, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(spec, memory, theirs))
            process.start()
            theirs.close()
            running[mine] = (spec, process, time.monotonic())
            used += sizes[spec]
        ready = wait(list(running), timeout=1)
        for pipe, (spec, process, began) in list(running.items()):
            if pipe in ready:
                try:
                    row = pipe.recv()
                except EOFError:
                    row = {"model": spec, "note": "killed: out of memory"}
            elif time.monotonic() - began > seconds:
                process.kill()
                row = {"model": spec, "note": f"not done in {seconds:.0f} s"}
            else:
                continue
            process.join()
            del running[pipe]
            done += 1
            row["seconds"] = round(time.monotonic() - began, 1)
            with ledger.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            pace = (time.monotonic() - start) / done
            print(f"{done}/{len(specs)} {spec} {row.get('blocks', row['note'])} ({pace:.1f} s each)", flush=True)


def read_table(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of a table by model; none where there is no table."""
    if not path.exists():
        return {}
    return {row["model"]: row for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())}


def read_ledger(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of a ledger by model; none where there is no ledger."""
    if not path.exists():
        return {}
    return {row["model"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", help="specs; all by default")
    parser.add_argument("--ledger", type=Path, default=Path("runs/zoo.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("seviz/network/zoo.csv"))
    parser.add_argument("--anew", action="store_true", help="do not continue from the table that is there")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=300, help="limit of each")
    parser.add_argument("--memory", type=float, default=22, help="GiB, shared by the workers")
    options = parser.parse_args()

    specs = options.models or architectures()
    options.ledger.parent.mkdir(parents=True, exist_ok=True)
    known = {} if options.anew else read_table(options.out)
    missing = [spec for spec in specs if spec not in known | read_ledger(options.ledger)]
    memory = int(options.memory * 2**30)
    run_all(missing, options.ledger, workers=options.workers, seconds=options.seconds, memory=memory)
    rows = known | read_ledger(options.ledger)
    with options.out.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, extrasaction="ignore", restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows[spec] for spec in sorted(rows))
    found = [row for row in rows.values() if int(row.get("blocks") or 0)]
    print(f"{len(found)} of {len(rows)} architectures have SE blocks; table in {options.out}")


if __name__ == "__main__":
    main()
