"""Kill captures, fill disks, damage files: does the run that is continued hold the bits of the unbroken one?

    python analyses/reliability.py
    python analyses/reliability.py --points 10 --json

A capture of a tiny network is killed (SIGKILL) at random calls of the functions where something could be lost, of each
in turn, some of them again while they continue, and then continued to its end. Each run that results is compared, bit
by bit, with one that was never broken. Each capture is a process of its own.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import socket
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

import seviz
from seviz.capture import workers
from seviz.capture.indexed import Dataset
from seviz.errors import RunLockedError, SevizError
from seviz.run.store import Run
from seviz.run.verification import verify

IMAGES = {"cliff": 17, "goldfish": 5, "plane": 0, "pug": 12}
CHUNK, BATCH = 8, 3


class Tiny(nn.Module):
    """Two SE blocks, for images of 16x16."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained_cfg = {"input_size": (3, 16, 16), "crop_pct": 1.0}
        self.class_names = tuple(IMAGES)
        self.stages = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), SqueezeExcitation(8, 4)),
            *(nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.ReLU(), SqueezeExcitation(12, 4)),
        )
        self.head = nn.Linear(12, len(IMAGES))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(images).mean((2, 3)))


SPEC = f"{__file__}:Tiny"

# Where a capture can be killed: before or after a call of one of these.
POINTS: Mapping[str, tuple[str, str]] = {
    "creation": ("os", "link"),
    "decoding": ("seviz.capture.indexed", "decode"),
    "forward pass": ("torch.nn.functional", "linear"),
    "sync of a file": ("os", "fsync"),
    "rename": ("os", "replace"),
    "moments of a block": ("seviz.run.merging", "merged_moments"),
    "table of images": ("seviz.run.merging", "samples_bytes"),
}


@dataclass
class Tally:
    """What came of one kind of fault: how often it was tried, and what went wrong."""

    tried: int = 0
    wrong: list[str] = field(default_factory=list)


def make_images(root: Path) -> None:
    """Write the images, each class of one colour with noise."""
    noise = np.random.default_rng(0)
    for k, (name, count) in enumerate(IMAGES.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = noise.integers(0, 200, (20, 20, 3), dtype=np.uint8)
            pixels[:, :, k % 3] += 50
            Image.fromarray(pixels).save(root / name / f"{index:03d}.png")


def capture(root: Path, out: Path, **options: Any) -> Run:
    """The capture that is broken."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = {"batch_size": BATCH, "chunk_size": CHUNK, "signals": ["squeeze"], "workers": 0, "compile": "off"}
        return seviz.collect(seviz.load(SPEC), root, out, **{**settings, **options})


def contents(run: Path) -> dict[str, bytes]:
    """All of a run but its manifest, which tells when it was created, and its locks."""
    files = [path for folder in ("chunks", "moments") for path in (run / folder).glob("*")]
    return {str(path.relative_to(run)): path.read_bytes() for path in (*files, run / "samples.parquet")}


def contents_so_far(run: Path) -> dict[str, bytes]:
    """All of a run that is not finished, but its locks."""
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file() and path.parent.name != "locks"}


def lost_bits(run: Path, whole: Mapping[str, bytes]) -> int:
    """How many bits of a run are not those of the unbroken one."""
    there = contents(run)
    lost = 0
    for name in there.keys() | whole.keys():
        one, other = there.get(name, b""), whole.get(name, b"")
        lost += 8 * abs(len(one) - len(other))
        lost += sum((a ^ b).bit_count() for a, b in zip(one, other, strict=False))
    return lost


def apart(work: Callable[[], object], environment: Mapping[str, str] | None = None) -> int:
    """Do something in a process of its own; its exit code, negative where a signal ended it."""
    process = start(work, environment)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def start(work: Callable[[], object], environment: Mapping[str, str] | None = None) -> Any:
    """Begin something in a process of its own."""

    def child() -> None:
        os.environ.update(environment or {})
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
            work()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    return process


def reach(path: str) -> Any:
    """The module of that name."""
    __import__(path)
    return sys.modules[path]


@contextlib.contextmanager
def counted(calls: Counter[str], kill_at: tuple[str, int, bool] | None = None) -> Iterator[None]:
    """Count the calls of all points; die at the n-th of one of them, before or after it."""
    originals = {name: getattr(reach(module), attribute) for name, (module, attribute) in POINTS.items()}

    def watched(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            here = kill_at is not None and kill_at[:2] == (name, calls[name])
            if here and kill_at and not kill_at[2]:
                os.kill(os.getpid(), signal.SIGKILL)
            result = originals[name](*args, **kwargs)
            if here:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    try:
        for name, (module, attribute) in POINTS.items():
            setattr(reach(module), attribute, watched(name))
        yield
    finally:
        for name, (module, attribute) in POINTS.items():
            setattr(reach(module), attribute, originals[name])


def count_calls(root: Path, out: Path) -> Counter[str]:
    """How often an unbroken capture passes each point."""
    calls = Counter[str]()
    with counted(calls):
        capture(root, out)
    unpassed = POINTS.keys() - calls
    assert not unpassed, f"a capture never passes {unpassed}"
    return calls


def killed(root: Path, out: Path, whole: Mapping[str, bytes], calls: Counter[str], seed: int) -> tuple[str, str]:
    """Kill a capture at a random call of a point, perhaps again while it continues; the point, and what went wrong."""
    chance = random.Random(seed)
    point = list(POINTS)[seed % len(POINTS)]
    deaths = [(point, chance.randint(1, calls[point]), chance.random() < 0.5)]
    if chance.random() < 0.3:
        again = chance.choice(list(POINTS))
        deaths.append((again, chance.randint(1, calls[again]), chance.random() < 0.5))

    def die(death: tuple[str, int, bool]) -> None:
        with counted(Counter(), kill_at=death):
            capture(root, out)

    code = apart(lambda: die(deaths[0]))
    if code != -signal.SIGKILL:
        return point, f"seed {seed}: {deaths[0]} ended with {code}, and was to be killed"
    for death in deaths[1:]:  # what is done already is not passed again, so this may come to its end
        if (code := apart(lambda death=death: die(death))) not in (0, -signal.SIGKILL):
            return point, f"seed {seed}: continuing after {deaths} ended with {code}"
    return point, finish(root, out, whole, f"seed {seed}, {deaths}")


def finish(root: Path, out: Path, whole: Mapping[str, bytes], what: str, **options: Any) -> str:
    """Continue a capture to its end; what went wrong."""
    if code := apart(lambda: capture(root, out, **options)):
        return f"{what}: continuing ended with {code}"
    if lost := lost_bits(out, whole):
        return f"{what}: {lost} bits lost"
    if damages := verify(Run(out)):
        return f"{what}: {damages[0]}"
    return ""


def disk_full(root: Path, out: Path, whole: Mapping[str, bytes], seed: int) -> str:
    """No file may grow beyond a random size; then it may."""
    limit = random.Random(seed).randint(1, max(map(len, whole.values())))

    def fail() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            capture(root, out)
        except SevizError as error:
            sys.exit(3 if "could not be written (File too large)" in str(error) else 4)

    if (code := apart(fail)) != 3:
        return f"seed {seed}: with files of at most {limit} bytes the capture ended with {code}"
    return finish(root, out, whole, f"seed {seed}, files of at most {limit} bytes")


def damaged(root: Path, out: Path, whole: Mapping[str, bytes], seed: int) -> str:
    """Flip a bit of a finished run, or cut a file short: it must be named, and can be done again."""
    chance = random.Random(seed)
    capture(root, out)
    path = out / chance.choice(sorted(whole))
    content = bytearray(path.read_bytes())
    position = chance.randrange(len(content))
    if chance.random() < 0.5:
        content[position] ^= 1 << chance.randrange(8)
    else:
        del content[position:]
    path.write_bytes(content)
    found = verify(Run(out))
    if [damage.path for damage in found] != [path]:
        return f"seed {seed}: {path.name} was damaged, and found were {found}"
    path.unlink()
    return finish(root, out, whole, f"seed {seed}, {path.name} damaged")


def ranks(root: Path, out: Path, whole: Mapping[str, bytes], seed: int) -> str:
    """Two or three processes of one launch; one is killed, another number of them continues."""
    chance = random.Random(seed)
    world = chance.choice((2, 3))
    launch = {"WORLD_SIZE": str(world), "MASTER_ADDR": "localhost", "MASTER_PORT": str(seed)}

    def work(rank: int, victim: int) -> None:
        with counted(Counter(), kill_at=("forward pass", 2, True) if rank == victim else None):
            capture(root, out)

    victim = chance.randrange(-1, world)  # or none is
    begun = [start(lambda k=k: work(k, victim), {**launch, "RANK": str(k)}) for k in range(world)]
    for process in begun:
        process.join()
    codes = [process.exitcode for process in begun]
    if codes != [-signal.SIGKILL if k == victim else 0 for k in range(world)]:
        return f"seed {seed}: of {world} processes, {victim} to be killed, the exit codes are {codes}"
    if victim < 0 and not Run(out).complete:
        return f"seed {seed}: {world} processes left the run incomplete"
    return finish(root, out, whole, f"seed {seed}, {world} processes, {victim} killed")


def second_launch(root: Path, out: Path, whole: Mapping[str, bytes], _: int) -> str:
    """A second launch on a run that is being written is refused, and harms nothing."""
    context = multiprocessing.get_context("fork")
    now = context.Event()
    refused = []

    def intrude() -> None:
        now.wait()
        try:
            capture(root, out)
        except RunLockedError:
            sys.exit(3)

    intruder = start(intrude)

    def let_in(done: int, total: int | None) -> None:
        if done >= 20 and not refused:
            now.set()
            intruder.join()
            refused.append(intruder.exitcode)

    capture(root, out, progress=let_in)
    if refused != [3]:
        return f"a second launch ended with {refused}"
    return finish(root, out, whole, "a second launch")


def interrupted(root: Path, out: Path, whole: Mapping[str, bytes], seed: int) -> str:
    """SIGINT ends the command with exit code 130 and what to do next."""
    at = random.Random(seed).randint(1, 30)
    heard = out.with_suffix(".txt")
    arguments = ["seviz", "capture", SPEC, str(root), "-o", str(out)]

    def interrupt() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started this may ignore it
        from seviz.cli import main
        from seviz.cli.commands import capture as command

        def record(network: Any, data: str, **options: Any) -> Run:
            settings = {key: options[key] for key in ("out",)}
            return capture(root, settings["out"], progress=press)

        def press(done: int, total: int | None) -> None:
            if done >= at:
                os.kill(os.getpid(), signal.SIGINT)

        command.record = record
        sys.argv = arguments
        with heard.open("w", encoding="utf-8") as file, contextlib.redirect_stderr(file):
            main()

    if (code := apart(interrupt)) != 130:
        return f"seed {seed}: SIGINT after {at} images ended with {code}"
    if "To continue: seviz capture" not in heard.read_text(encoding="utf-8"):
        return f"seed {seed}: SIGINT was answered with {heard.read_text(encoding='utf-8')!r}"
    return finish(root, out, whole, f"seed {seed}, SIGINT after {at} images")


def broken_off(root: Path, out: Path, seed: int) -> None:
    """A capture that was killed at a random image."""
    at = random.Random(seed).randint(1, sum(IMAGES.values()))

    def work() -> None:
        with counted(Counter(), kill_at=("decoding", at, True)):
            capture(root, out)

    apart(work)


def refused(root: Path, out: Path, error: type[SevizError], *words: str) -> bool:
    """Whether a capture ends with an error of that kind, whose message has these words."""

    def work() -> None:
        try:
            capture(root, out)
        except error as told:
            sys.exit(3 if all(word in str(told) for word in words) else 4)

    return apart(work) == 3


def name_owner(path: Path, **process: object) -> None:
    """Leave a lock that names a process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"launch": "another", "processes": [process]}), encoding="utf-8")


def stale_lock(root: Path, out: Path, whole: Mapping[str, bytes], seed: int) -> str:
    """A lock names a number that another process has by now, or none, or it is empty: it holds nothing."""
    chance = random.Random(seed)
    broken_off(root, out, seed)
    path = out / "locks" / f"{socket.gethostname()}.json"
    pid = chance.choice((os.getpid(), os.getppid(), 2**22 + 1))
    name_owner(path, pid=pid, began=chance.uniform(0, 1e9))
    if chance.random() < 0.3:
        path.write_text("", encoding="utf-8")
    return finish(root, out, whole, f"seed {seed}, a lock of process {pid}")


def other_host(root: Path, out: Path, whole: Mapping[str, bytes], seed: int) -> str:
    """A lock of another host, whole or cut short, is named with the way to clear it."""
    chance = random.Random(seed)
    broken_off(root, out, seed)
    before = contents_so_far(out)
    path = out / "locks" / "elsewhere.json"
    name_owner(path, pid=chance.randint(1, 2**22), began=1e9)
    if chance.random() < 0.5:
        content = path.read_bytes()
        path.write_bytes(content[: chance.randint(1, len(content) - 1)])
    if not refused(root, out, RunLockedError, "'elsewhere'", "delete"):
        return f"seed {seed}: a lock of another host did not stop the capture, or was not named"
    if contents_so_far(out) != before:
        return f"seed {seed}: a capture that was refused has written"
    path.unlink()
    return finish(root, out, whole, f"seed {seed}, a lock of another host")


def damaged_manifest(root: Path, out: Path, whole: Mapping[str, bytes], seed: int) -> str:
    """A bit of the manifest flipped, or it was cut short: told in one line, and nothing else is touched."""
    chance = random.Random(seed)
    capture(root, out)
    path = out / "manifest.json"
    content = path.read_bytes()
    position = chance.randrange(len(content))
    wrong = bytearray(content)
    wrong[position] ^= 1 << chance.randrange(8)
    path.write_bytes(wrong if chance.random() < 0.7 else content[:position])

    def look() -> None:
        with contextlib.suppress(SevizError):
            verify(Run(out))

    if code := apart(look):
        return f"seed {seed}: a damaged manifest ended with {code}"
    path.write_bytes(content)
    return finish(root, out, whole, f"seed {seed}, byte {position} of the manifest")


def linked_chunk(root: Path, out: Path, whole: Mapping[str, bytes], seed: int) -> str:
    """A link in place of a chunk, to another chunk, to itself or to nothing: it is named, and can be done again."""
    chance = random.Random(seed)
    capture(root, out)
    path, other = chance.sample(sorted((out / "chunks").glob("*.safetensors")), 2)
    path.unlink()
    path.symlink_to(chance.choice((other.name, path.name, "nothing")))
    try:
        found = [damage.path for damage in verify(Run(out))]
    except SevizError as error:
        found = [path] if path.name in str(error) else []
    if path not in found and os.path.exists(path):
        return f"seed {seed}: {path.name} is a link to {os.readlink(path)}, and found were {found}"
    path.unlink()
    return finish(root, out, whole, f"seed {seed}, {path.name} a link")


def worker_killed(root: Path, out: Path, whole: Mapping[str, bytes], seed: int) -> str:
    """A process that decodes images is killed once, at a random image, which is then read by another."""
    victim = random.Random(seed).randrange(sum(IMAGES.values()))
    once = out.with_suffix(".once")
    once.unlink(missing_ok=True)
    read = Dataset.read

    def deadly(self: Dataset, index: int, **options: Any) -> Any:
        if index == victim and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, index, **options)

    Dataset.read = deadly  # type: ignore[method-assign]
    try:
        return finish(root, out, whole, f"seed {seed}, a worker killed at image {victim}", workers=2)
    finally:
        Dataset.read = read  # type: ignore[method-assign]


def shared_memory_full(root: Path, out: Path, whole: Mapping[str, bytes], seed: int) -> str:
    """Workers find no room in shared memory for some of the batches, or for any."""
    share = random.Random(seed).choice((0.5, 1.0))
    chance = random.Random(seed)

    class Full:
        @staticmethod
        def dumps(value: object) -> Any:
            if chance.random() < share:
                raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")
            return ForkingPickler.dumps(value)

    workers.ForkingPickler = Full  # type: ignore[assignment,misc]
    try:
        return finish(root, out, whole, f"seed {seed}, shared memory full for {share:.0%}", workers=2)
    finally:
        workers.ForkingPickler = ForkingPickler  # type: ignore[misc]


FAULTS: Mapping[str, Callable[[Path, Path, Mapping[str, bytes], int], str]] = {
    "disk full": disk_full,
    "a bit flipped or a file cut short": damaged,
    "several processes, one killed": ranks,
    "a second launch": second_launch,
    "SIGINT": interrupted,
    "a stale lock, its number another process's": stale_lock,
    "a lock of another host": other_host,
    "a damaged manifest": damaged_manifest,
    "a link in place of a chunk": linked_chunk,
    "a decoding process killed": worker_killed,
    "shared memory full": shared_memory_full,
}


def try_all(folder: Path, points: int, seed: int) -> dict[str, Tally]:
    """Try every fault: `points` kills, and a fifth as many of each other."""
    root, unbroken = folder / "images", folder / "unbroken"
    make_images(root)
    calls = count_calls(root, unbroken)
    whole = contents(unbroken)
    tallies = {f"killed: {point}": Tally() for point in POINTS} | {fault: Tally() for fault in FAULTS}

    def note(fault: str, wrong: str) -> None:
        tallies[fault].tried += 1
        if wrong:
            tallies[fault].wrong.append(wrong)

    out = folder / "broken"
    for k in range(seed, seed + points):
        point, wrong = killed(root, out, whole, calls, k)
        note(f"killed: {point}", wrong)
        shutil.rmtree(out)
    for fault, attempt in FAULTS.items():
        for k in range(seed, seed + max(1, points // 5)):
            note(fault, attempt(root, out, whole, k))
            shutil.rmtree(out)
    return tallies


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=200, help="at which a capture is killed")
    parser.add_argument("--seed", type=int, default=0, help="of the random points")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)

    torch.set_num_threads(1)  # processes are forked
    with tempfile.TemporaryDirectory() as folder:
        tallies = try_all(Path(folder), options.points, options.seed)
    if options.json:
        print(json.dumps({fault: {"tried": t.tried, "wrong": t.wrong} for fault, t in tallies.items()}, indent=1))
    else:
        print("| fault | tried | runs that lost a bit or came to no end |\n|---|---|---|")
        for fault, tally in tallies.items():
            print(f"| {fault} | {tally.tried} | {len(tally.wrong)} |")
        for wrong in [wrong for tally in tallies.values() for wrong in tally.wrong]:
            print(wrong)
    sys.exit(any(tally.wrong for tally in tallies.values()))


if __name__ == "__main__":
    main()
