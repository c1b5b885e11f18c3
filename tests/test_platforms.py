"""What holds on Windows and macOS, as far as that can be seen on Linux."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.capture import own_network

ROOT = Path(__file__).parents[1]
APART = {ROOT / "seviz" / "run" / "system.py", ROOT / "seviz" / "texts.py"}
"""The module that knows the system, and that which writes commands as one types them there."""
SOURCES = [path for path in sorted((ROOT / "seviz").rglob("*.py")) if path not in APART]

MODULES = {"fcntl", "grp", "msvcrt", "platform", "psutil", "pwd", "resource", "shlex", "signal", "termios", "winreg"}
"""Modules that not every system has, or that are about one."""
NAMES = {
    "multiprocessing": {"get_context", "set_start_method"},
    "os": {
        *("execl", "execv", "execve", "execvp", "fork", "getpgid", "getppid", "getuid", "kill", "killpg", "link"),
        *("mkfifo", "name", "nice", "O_DIRECTORY", "O_NOFOLLOW", "rename", "replace", "sched_getaffinity", "setpgid"),
        *("setsid", "symlink", "uname", "waitpid"),
    },
    "sys": {"platform", "getwindowsversion"},
}
"""Names that not every system has, that mean something else on some, or that tell which it is."""
PLACES = ("/dev/", "/proc/", "/sys/", "/tmp")


@cache
def _parsed(path: Path) -> ast.AST:
    return ast.parse(path.read_bytes())


def _foreign(tree: ast.AST) -> Iterator[str]:
    """What of all this a module touches."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module), names=names):
                yield from ([module] if module.partition(".")[0] in MODULES else [])
                yield from (f"{module}.{each.name}" for each in names if each.name in NAMES.get(module, ()))
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in NAMES.get(module, ()):
                yield f"{module}.{name}"
            case ast.keyword(arg="start_new_session" | "preexec_fn" | "creationflags" as name):
                yield name
            case ast.Constant(value=str(text)) if text.startswith(PLACES):
                yield text


def _without_encoding(tree: ast.AST) -> Iterator[int]:
    """Lines where text is read or written in whatever encoding the system has."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(each.arg == "encoding" for each in node.keywords):
            continue
        match node:
            case ast.Call(func=ast.Attribute(attr="read_text"), args=[]):
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr="write_text"), args=[_]):
                yield node.lineno
            case ast.Call(func=ast.Attribute(value=ast.Name(id="Image" | "tarfile"), attr="open")):
                pass
            case ast.Call(func=ast.Attribute(attr="open"), args=[] | [ast.Constant(), *_] as args):
                if not args or "b" not in str(args[0].value):
                    yield node.lineno
            case ast.Call(func=ast.Name(id="open"), args=[_, *modes]):
                if not modes or "b" not in ast.unparse(modes[0]):
                    yield node.lineno


def test_one_module_knows_the_system() -> None:
    touched = {str(path.relative_to(ROOT)): list(_foreign(_parsed(path))) for path in SOURCES}
    assert {path: names for path, names in touched.items() if names} == {}


def test_text_has_an_encoding() -> None:
    paths = [*SOURCES, ROOT / "app.py", *(ROOT / "analyses").rglob("*.py")]
    lines = {str(path.relative_to(ROOT)): list(_without_encoding(_parsed(path))) for path in paths}
    assert {path: numbers for path, numbers in lines.items() if numbers} == {}


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import fcntl, os.path", ["fcntl"]),
        ("from signal import SIGKILL", ["signal"]),
        ("from os import kill as k", ["os.kill"]),
        ("import os\nos.killpg(1, 2)", ["os.killpg"]),
        ("flags = os.O_RDONLY | os.O_NOFOLLOW", ["os.O_NOFOLLOW"]),
        ("Popen([], start_new_session=True)", ["start_new_session"]),
        ("Path('/dev/shm')", ["/dev/shm"]),
        ("if sys.platform == 'linux': pass", ["sys.platform"]),
        ("os.fspath(p); getattr(os, 'O_NOFOLLOW', 0); path.rename(other)", []),
    ],
)
def test_what_is_looked_for_is_found(code: str, names: list[str]) -> None:
    assert list(_foreign(ast.parse(code))) == names


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("p.read_text()", True),
        ("p.read_text('utf-8')", False),
        ("p.write_text(text)", True),
        ("p.write_text(text, encoding='utf-8')", False),
        ("p.open()", True),
        ("p.open('a+')", True),
        ("p.open('rb')", False),
        ("open(p)", True),
        ("open(p, 'wb')", False),
        ("Image.open(p)", False),
    ],
)
def test_a_missing_encoding_is_found(code: str, found: bool) -> None:
    assert bool(list(_without_encoding(ast.parse(code)))) == found


AS_ON_WINDOWS = """
import json, os, signal, subprocess, sys, time, types, warnings
from pathlib import Path

import filelock, psutil, torch, torchvision  # they know their system
filelock.FileLock

own = types.ModuleType("signal")
own.__dict__.update(vars(signal))
subprocess.signal = psutil.signal = own
del signal.SIGKILL, signal.SIGHUP, os.fork, os.killpg, os.setsid, os.getpgid, os.O_DIRECTORY
sys.modules.update(dict.fromkeys(("fcntl", "resource", "pwd", "grp", "termios")))

if __name__ == "__main__":
    place, spec = Path(sys.argv[1]), sys.argv[2]
    warnings.simplefilter("ignore")
    import seviz
    from seviz.errors import RunLockedError
    from seviz.run.lock import lock
    from seviz.run.system import alive, worker_context

    told = {"workers": worker_context().get_start_method()}
    network = seviz.load(spec, weights="none")
    for workers in (0, 1):
        seviz.collect(network, place / "images", place / f"run{workers}", workers=workers, compile="off")
    told["same"] = len({path.read_bytes() for path in place.glob("run*/chunks/*")}) == 1
    told["images"] = len(seviz.open_run(place / "run1").samples)
    told["left"] = [path.name for path in place.glob("run*/locks/*.json")]
    try:
        with lock(place / "run1" / "locks"), lock(place / "run1" / "locks"):
            pass
    except RunLockedError as error:
        told["locked"] = str(error)

    from seviz.dashboard import jobs
    jobs.PATIENCE = 0.2
    work = jobs.Jobs(place / "jobs")
    job = work.start("Work", [], run=place / "run1")
    end = time.monotonic() + 60
    while not job.output.strip() and time.monotonic() < end:
        time.sleep(0.05)
    child = int(job.output)
    told["before"] = [alive(child), alive(job.process.pid), job.state]
    job.cancel()
    told["after"] = [alive(child), alive(job.process.pid), job.state]
    work.end()
    print(json.dumps(told))
"""


@pytest.mark.usefixtures("endless")
def test_runs_workers_locks_and_jobs_do_without_what_windows_lacks(tmp_path: Path) -> None:
    """In an interpreter without fcntl, fork and process groups: a run by spawned workers, a lock, a job cancelled."""
    for name in ("a", "b", "c"):
        (tmp_path / "images" / name).mkdir(parents=True)
        pixels = np.full((16, 16, 3), 60 * (1 + ord(name) - ord("a")), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / name / "1.png")
    script = tmp_path / "script.py"
    command = [sys.executable, str(script), str(tmp_path), f"{own_network.__file__}:make"]
    # The script imports seviz from here, and its job, by the fixture, one that works without end.
    script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{AS_ON_WINDOWS}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "is being written by another capture on this host" in told.pop("locked")
    assert told == {
        "workers": "spawn",
        "same": True,
        "images": 3,
        "left": [],
        "before": [True, True, "running"],
        "after": [False, False, "cancelled"],
    }
