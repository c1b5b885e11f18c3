"""Which tests a change touches: those that import what was changed, nearest first, as many as a minute allows.

The order comes from the imports alone, so it needs no earlier run and is the same in a fresh clone. It cannot know what
a test does at run time: a change that only a far test notices may be missed, which is why `make test` runs all.
"""

import heapq
import inspect
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import pytest

ROOT = Path(__file__).parents[1]
SECONDS = 35.0
"""After so long no further test is begun: with the start of the processes and the last tests it is a minute."""
CONFTEST = 2
"""A test is further from what its conftest imports than from what it imports itself, since it may not use it."""
MENTIONED = 1
"""How far a test is from a script or data file that it names."""

Imports = Mapping[str, Mapping[str, int]]
"""By module, the modules that it imports, and how far each is."""


def changed_files() -> list[Path]:
    """Files that differ from the last commit, or that it changed where none does; relative to the repository."""

    def git(*arguments: str) -> list[Path]:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return [Path(line) for line in done.stdout.splitlines()]

    here = git("diff", "--name-only", "HEAD") + git("ls-files", "--others", "--exclude-standard")
    return here or git("diff", "--name-only", "HEAD~1", "HEAD")


@cache
def imports() -> Imports:
    """What modules of the package and of the tests import, as far as it is written down."""
    graph = grimp.build_graph("seviz", "tests", cache_dir=None)
    homes = {}  # of the names that `import seviz` gives: the package itself would tie everything to everything
    for module in graph.find_modules_directly_imported_by("seviz"):
        for detail in graph.get_import_details(importer="seviz", imported=module):
            homes |= dict.fromkeys(re.findall(r"import \w+ as (\w+)", detail["line_contents"]), module)
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for module in graph.modules - {"seviz"}:
        found[module] = dict.fromkeys(graph.find_modules_directly_imported_by(module) - {"seviz"}, 1)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        module = named(path.relative_to(ROOT))
        for name in re.findall(r"\bseviz\.(\w+)", path.read_text()):
            if name in homes:
                found[module].setdefault(homes[name], 1)
        for folder in path.relative_to(ROOT).parents:
            conftest = folder / "conftest.py"
            if (ROOT / conftest).is_file() and named(conftest) != module:
                found[module].setdefault(named(conftest), CONFTEST)
    return found


def named(path: Path) -> str:
    """The module in a file, both relative to the repository."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def distances(imported: Imports, changed: Collection[str]) -> dict[str, int]:
    """How far each module is from the nearest of some changed ones; without those that import none of them."""
    importers: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for module, others in imported.items():
        for other, far in others.items():
            importers[other][module] = far
    known: dict[str, int] = {}
    ahead = [(0, module) for module in sorted(changed)]
    while ahead:
        far, module = heapq.heappop(ahead)
        if module not in known:
            known[module] = far
            for importer, more in importers[module].items():
                heapq.heappush(ahead, (far + more, importer))
    return known


def mentioned(changed: Collection[Path]) -> set[str]:
    """Names by which tests call changed files that are no modules: data, and scripts with those that import them."""
    names = {path.name for path in changed if path.parts[0] not in ("seviz", "tests") or path.suffix != ".py"}
    scripts = {path: path.read_text() for path in (ROOT / "analyses").rglob("*.py")}
    more = names
    while more:
        pattern = rf"^(?:import|from) (?:{'|'.join(re.escape(Path(name).stem) for name in more)})\b"
        more = {path.name for path, text in scripts.items() if re.search(pattern, text, re.M)} - names
        names |= more
    return names | {Path(name).stem for name in names if name.endswith(".py")}


def mentions(text: str, names: Collection[str]) -> bool:
    return any(re.search(rf"(?<![\w.]){re.escape(name)}(?![\w])", text) for name in names)


@dataclass(eq=False)  # pytest keeps plugins in sets
class Touched:
    """A pytest plugin that collects and runs what was touched, and says at the end what it left out.

    Attributes
    ----------
    far
        By test file, relative to the repository, how far it is from the change.
    names
        Of changed files that are no modules; of a test file that is touched by them alone, the tests that name one run.
    """

    far: Mapping[Path, int]
    names: Collection[str] = ()
    root: Path = ROOT
    start: float = field(default_factory=time.monotonic)
    left: int = 0

    @classmethod
    def by(cls, changed: Collection[Path]) -> "Touched":
        modules = {named(path) for path in changed if path.suffix == ".py" and path.parts[0] in ("seviz", "tests")}
        names, known = mentioned(changed), distances(imports(), modules)
        far: dict[Path, int] = {}
        for path in sorted((ROOT / "tests").rglob("test_*.py")):
            short = path.relative_to(ROOT)
            mirrored = named(short).replace("tests.", "seviz.", 1).replace(".test_", ".")
            if {named(short), mirrored} & modules:
                far[short] = 0
            elif named(short) in known:
                far[short] = known[named(short)]
            elif mentions(path.read_text(), names):
                far[short] = MENTIONED
        return cls(far, names)

    def distance(self, item: pytest.Item) -> int:
        return self.far[item.path.relative_to(self.root)]

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
        return True if is_test and collection_path.relative_to(self.root) not in self.far else None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        def meant(item: pytest.Item) -> bool:
            function = getattr(item, "function", None)
            by_name = self.distance(item) == MENTIONED and function is not None
            return not by_name or mentions(inspect.getsource(function), self.names)

        others = [item for item in items if not meant(item)]
        if others:
            config.hook.pytest_deselected(items=others)
        items[:] = sorted(filter(meant, items), key=self.distance)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> bool | None:
        if time.monotonic() - self.start < SECONDS:
            return None
        self.left += 1
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["left"] = self.left
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self.left += getattr(node, "workeroutput", {}).get("left", 0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("touched")
        terminalreporter.write_line(f"the change touches {len(self.far)} test files; `make test` runs all")
        if self.left:
            terminalreporter.write_line(f"{self.left} tests, furthest from the change, did not fit into the time")
        if any(path.parts[1] == "browser" for path in self.far):
            terminalreporter.write_line("tests in the browser are touched as well; `make browser` runs them")
