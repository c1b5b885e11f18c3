"""Change one operator, number or keyword of the core at a time: do the tests notice?

    python analyses/mutation.py --out runs/mutation.jsonl
    python analyses/mutation.py --list
    python analyses/mutation.py --only seviz/moments.py:NumberReplacer:3

Mutants are made by all operators of cosmic-ray, and drawn at random from all that there are. Each is tested by the
tests of its module (`TESTS`), the quickest first, in a process of its own, which is forked from one that has imported
torch and the other large packages, and works on a copy of the tree. A mutant is killed if a test fails or a file
cannot be imported, or if the tests take five times as long as those of the original, and more than 30 seconds.

Not drawn are mutants of annotations, of type aliases (assigned to a name in CamelCase in a module), of decorators
(`@dataclass(frozen=True)`, `@overload`), and of the `*` in a signature; strings, and so docstrings, are never mutated.
Nor are those that Python does not compile, or not without a warning (`x is 2`): no test is needed to notice them.

What is tested is kept in a JSON-lines file, from which the same command continues; a mutant of text that has
changed since is tested again. So are those named with `--only`. Of several lines of one mutant the last one counts.
"""

import argparse
import contextlib
import difflib
import importlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import cache_from_source
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

_STORE = ("tests/run/test_store.py", "tests/run/test_parts.py", "tests/run/test_verification.py")
TESTS: Mapping[str, tuple[str, ...]] = {
    "seviz/network/gates.py": ("tests/network/test_gates.py", "tests/network/test_forced_gates.py"),
    "seviz/network/tracing.py": (
        "tests/network/test_tracing.py",
        "tests/network/test_flow.py",
        "tests/network/test_blocks.py",
    ),
    "seviz/stats/variance.py": ("tests/stats/test_variance.py", "tests/tables/test_specificity.py"),
    "seviz/run/chunks.py": ("tests/run/test_chunks.py", *_STORE),
    "seviz/run/files.py": ("tests/run/test_files.py", "tests/run/test_store.py"),
    "seviz/run/joining.py": ("tests/run/test_joining.py",),
    "seviz/run/lock.py": ("tests/run/test_lock.py",),
    "seviz/run/manifest.py": ("tests/run/test_manifest.py", "tests/run/test_store.py"),
    "seviz/run/merging.py": _STORE,
    "seviz/moments.py": ("tests/test_moments.py", "tests/run/test_chunks.py"),
    "seviz/run/parts.py": ("tests/run/test_parts.py",),
    "seviz/run/samples.py": ("tests/run/test_samples.py", "tests/run/test_store.py"),
    "seviz/run/store.py": ("tests/run/test_store.py", "tests/run/test_parts.py", "tests/run/test_joining.py"),
    "seviz/run/verification.py": ("tests/run/test_verification.py",),
}
"""The modules that are mutated, and the files of their tests."""

PRELOADED = (
    *("torch", "torch._dynamo", "torchvision.transforms.v2", "timm", "captum.attr", "safetensors.numpy"),
    *("numpy", "pandas", "pyarrow.parquet", "xarray", "scipy.stats", "scipy.optimize", "sklearn", "typer.testing"),
)
"""What the tests import, except the package itself: imported once, before processes are forked."""


@dataclass(frozen=True, order=True)
class Mutant:
    """One change of one module.

    Attributes
    ----------
    module
        Path of its file, from the root of the project.
    operator
        Name of the operator of cosmic-ray.
    occurrence
        Which of the places in the module that the operator can change.
    line
        Where that is.
    """

    module: str
    operator: str
    occurrence: int
    line: int

    @property
    def name(self) -> str:
        """What tells it from all others."""
        return f"{self.module}:{self.operator}:{self.occurrence}"


@dataclass
class Running:
    """The tests of one mutant, at work."""

    mutant: Mutant
    diff: str
    place: Path
    process: BaseProcess
    began: float


@cache
def operators() -> Mapping[str, Any]:
    """All operators of cosmic-ray that need no arguments, by name."""
    classes = {name: get_operator(name) for name in operator_names()}
    return {name.partition("/")[2]: kind() for name, kind in classes.items() if not kind.arguments()}


def mutants(root: Path, module: str) -> Iterator[Mutant]:
    """All mutants of a module, without those of annotations, type aliases and decorators."""
    nodes = list(ast_nodes(get_ast((root / module).read_text(encoding="utf-8"))))
    left_out = {id(node) for node in nodes if _is_left_out(node)}
    for name, operator in operators().items():
        places = (node for node in nodes for _ in operator.mutation_positions(node))
        for occurrence, node in enumerate(places):
            if id(node) not in left_out:
                yield Mutant(module, name, occurrence, node.start_pos[0])


def _is_left_out(node: Any) -> bool:
    parent, before = node.parent, node.get_previous_sibling()
    if parent is None:
        return False
    sign = {"funcdef": "->", "tfpdef": ":", "annassign": ":"}.get(parent.type)  # that an annotation follows
    annotation = sign is not None and before is not None and before.get_code().strip() == sign
    named = node.type in ("decorator", "decorators") or parent.type == "parameters"  # the sign in `f(a, *, b)`
    return annotation or named or _is_alias(node) or _is_left_out(parent)


def _is_alias(node: Any) -> bool:
    """Whether this is an assignment to a name in CamelCase, outside of functions and classes."""
    if node.type != "expr_stmt" or node.parent.parent is None or node.parent.parent.type != "file_input":
        return False
    return re.fullmatch(r"_?([A-Z][a-z]+)+", node.children[0].get_code().strip()) is not None


@cache
def mutated(root: Path, mutant: Mutant) -> str | None:
    """The text of the module with its change; None where nothing changes, or Python compiles it with a warning."""
    source = (root / mutant.module).read_text(encoding="utf-8")
    text: str | None = mutate_code(source, operators()[mutant.operator], mutant.occurrence)
    if text is None or text == source:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compile(text, mutant.module, "exec")
    except (SyntaxError, SyntaxWarning):
        return None
    return text


def draw(root: Path, modules: Sequence[str], *, count: int, seed: int) -> list[Mutant]:
    """Some mutants of all modules together, drawn at random."""
    every = sorted(mutant for module in modules for mutant in mutants(root, module))
    drawn: list[Mutant] = []
    for mutant in random.Random(seed).sample(every, len(every)):
        if len(drawn) == count:
            break
        if mutated(root, mutant) is not None:
            drawn.append(mutant)
    return sorted(drawn)


def difference(root: Path, mutant: Mutant, text: str) -> str:
    """The lines that a mutant changes."""
    source = (root / mutant.module).read_text(encoding="utf-8")
    lines = difflib.unified_diff(source.splitlines(), text.splitlines(), lineterm="", n=0)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def _copied(root: Path, place: Path) -> Path:
    """A copy of all that the tests read."""
    tops = ("pyproject.toml", "seviz", "tests") if (root / "pyproject.toml").exists() else os.listdir(root)
    for top in tops:
        source = root / top
        if source.is_dir():
            shutil.copytree(source, place / top, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
    return place


class Quickest:
    """A plugin of pytest: runs the quickest tests first, as far as their seconds are known, and notes them.

    Parameters
    ----------
    seconds
        By the name of the test.
    """

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self._known, self.noted = seconds, Counter[str]()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self._known.get(item.nodeid, 0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.noted[report.nodeid] += report.duration


def _child(place: Path, tests: Sequence[str], seconds: Mapping[str, float], originals: Sequence[str]) -> None:
    """Run tests in a copy of the tree and end with the exit code of pytest.

    Of `originals`, which are the modules to be mutated before they are, it is that of no tests if the tests do not
    import them from this copy; and the seconds of each test are written.
    """
    os.setsid()  # so that what the tests start can be ended with them
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with Path(f"{place}.log").open("w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    os.chdir(place)
    sys.path.insert(0, str(place))
    os.environ |= {"PYTHONPATH": str(place), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = not originals
    plugin = Quickest(seconds)
    options = ("-x", "-q", "-p", "no:cacheprovider", f"--basetemp={place}.tmp")
    code = pytest.main([*options, *tests], plugins=[plugin])
    for module in originals:
        imported = sys.modules.get(module.removesuffix(".py").replace("/", "."))
        if imported is None or not Path(str(imported.__file__)).is_relative_to(place):
            print(f"{module} is not imported from {place}")
            code = pytest.ExitCode.NO_TESTS_COLLECTED
    if originals:
        Path(f"{place}.json").write_text(json.dumps(plugin.noted), encoding="utf-8")
    sys.stdout.flush()
    os._exit(code)


def _start(
    place: Path, tests: Sequence[str], seconds: Mapping[str, float], originals: Sequence[str] = ()
) -> BaseProcess:
    child = multiprocessing.get_context("fork").Process(target=_child, args=(place, tests, seconds, originals))
    child.start()
    return child


def _end(process: BaseProcess) -> int:
    """End a process and all that it has started; its exit code."""
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # before it is joined, so that the number is its own
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _said(place: Path) -> str:
    return Path(f"{place}.log").read_text(encoding="utf-8", errors="replace")


def time_originals(place: Path, tests: Mapping[str, Sequence[str]]) -> tuple[dict[str, float], float]:
    """Seconds of each test of modules as they are, and of starting; ends the program if one fails."""
    files = list(dict.fromkeys(file for of_module in tests.values() for file in of_module))
    began = time.monotonic()
    process = _start(place, files, {}, list(tests))
    try:
        wait([process.sentinel])
    finally:
        code = _end(process)
    if code:
        sys.exit(f"the tests of {', '.join(tests)} as they are end with {code}:\n{_said(place)[-3000:]}")
    seconds: dict[str, float] = json.loads(Path(f"{place}.json").read_text(encoding="utf-8"))
    start = time.monotonic() - began - sum(seconds.values())
    print(f"the modules as they are: {len(seconds)} tests in {sum(seconds.values()):.1f} s", flush=True)
    return seconds, start


def try_all(
    root: Path,
    chosen: Sequence[Mutant],
    tests: Mapping[str, tuple[str, ...]],
    out: Path,
    *,
    workers: int = 2,
    at_least: float = 30,
    times: float = 5,
) -> None:
    """Test each mutant and append a line of JSON for it.

    Parameters
    ----------
    root
        The project; it is not changed.
    chosen
        The mutants.
    tests
        By module, the files of its tests.
    out
        The file that is appended to.
    workers
        How many are tested at once.
    at_least
        Seconds that tests may take in any case.
    times
        So many times as long as those of the original they may take else.
    """
    waiting, running = list(reversed(chosen)), list[Running]()
    with tempfile.TemporaryDirectory() as folder:
        free = [_copied(root, Path(folder) / "copy0")]
        needed = {mutant.module: tests[mutant.module] for mutant in chosen}
        seconds, start = time_originals(free[0], needed)
        usual = {
            module: start + sum(took for name, took in seconds.items() if name.startswith(files))
            for module, files in needed.items()
        }
        limits = {module: max(at_least, times * took) for module, took in usual.items()}
        for module in needed:  # a change may keep time and size of the file
            Path(cache_from_source(free[0] / module)).unlink(missing_ok=True)
        for k in range(1, workers):  # with all else as it is compiled now
            free.append(Path(shutil.copytree(free[0], Path(folder) / f"copy{k}")))
        try:
            while waiting or running:
                while waiting and free:
                    mutant, place = waiting.pop(), free.pop()
                    text = mutated(root, mutant)
                    assert text is not None
                    (place / mutant.module).write_text(text, encoding="utf-8")
                    process = _start(place, tests[mutant.module], seconds)
                    running.append(Running(mutant, difference(root, mutant, text), place, process, time.monotonic()))
                wait([one.process.sentinel for one in running], timeout=1)
                for one in list(running):
                    took = time.monotonic() - one.began
                    if not (ended := wait([one.process.sentinel], timeout=0)) and took < limits[one.mutant.module]:
                        continue
                    code = _end(one.process)
                    _note(out, one, took, code if ended else None)
                    shutil.copy(root / one.mutant.module, one.place / one.mutant.module)
                    running.remove(one)
                    free.append(one.place)
        finally:
            for one in running:
                _end(one.process)


def _note(out: Path, one: Running, seconds: float, code: int | None) -> None:
    failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", _said(one.place), re.MULTILINE)
    row = {
        "name": one.mutant.name,
        "module": one.mutant.module,
        "line": one.mutant.line,
        "operator": one.mutant.operator,
        "occurrence": one.mutant.occurrence,
        "diff": one.diff,
        "outcome": "timeout" if code is None else "killed" if code else "survived",
        "by": failed[0] if failed and code else "",
        "seconds": round(seconds, 1),
    }
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(f"{row['outcome']} after {seconds:.1f} s: {row['name']} (line {row['line']})", flush=True)


def read(out: Path) -> dict[str, dict[str, Any]]:
    """What was tested before, by name, the last of each."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return {row["name"]: row for row in map(json.loads, lines)}


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Table of how many mutants of each module are killed, and the survivors."""
    outcomes = Counter((row["module"], row["outcome"]) for row in rows)
    lines = ["| module | mutants | killed | by timeout | survived | share killed |", "|---|---|---|---|---|---|"]
    for module in [*sorted({row["module"] for row in rows}), "all"]:
        killed, late, survived = (
            sum(count for (of, kind), count in outcomes.items() if kind == outcome and module in (of, "all"))
            for outcome in ("killed", "timeout", "survived")
        )
        number = killed + late + survived
        share = (killed + late) / number if number else 1
        lines.append(f"| {module} | {number} | {killed + late} | {late} | {survived} | {share:.1%} |")
    for row in rows:
        if row["outcome"] == "survived":
            lines += ["", f"{row['name']}, line {row['line']}", row["diff"]]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="number of mutants")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the draw")
    parser.add_argument("--out", type=Path, default=Path("runs/mutation.jsonl"), help="file to continue and append to")
    parser.add_argument("--workers", type=int, default=2, help="mutants that are tested at once")
    parser.add_argument("--list", action="store_true", help="print what would be tested, and test nothing")
    parser.add_argument("--only", nargs="+", metavar="ID", help="test these again, as --list names them")
    options = parser.parse_args(arguments)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that processes and copies are cleared away
    with tempfile.TemporaryDirectory() as folder:  # a copy of its own, since the tree may be edited meanwhile
        work(options, _copied(Path(__file__).resolve().parents[1], Path(folder) / "tree"))


def work(options: argparse.Namespace, root: Path) -> None:
    """Do what the command line says with a project."""
    if options.only:
        modules = {name.partition(":")[0] for name in options.only} & TESTS.keys()
        known = {mutant.name: mutant for module in modules for mutant in mutants(root, module)}
        if unknown := [name for name in options.only if name not in known]:
            sys.exit(f"there is no mutant {unknown[0]!r}")
        chosen = [known[name] for name in options.only]
    else:
        chosen = draw(root, list(TESTS), count=options.count, seed=options.seed)
    differences = {mutant: difference(root, mutant, mutated(root, mutant) or "") for mutant in chosen}
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name} (line {mutant.line})\n{differences[mutant]}\n")
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = {} if options.only else read(options.out)
    os.environ["OMP_NUM_THREADS"] = "1"  # in this process, where torch is imported next, and in all that it starts
    for package in PRELOADED:
        importlib.import_module(package)
    missing = [m for m in chosen if m.name not in done or done[m.name]["diff"] != differences[m]]
    try_all(root, missing, TESTS, options.out, workers=options.workers)
    rows = read(options.out)
    print(summary([rows[mutant.name] for mutant in chosen]))


if __name__ == "__main__":
    main()
