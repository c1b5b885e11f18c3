"""`streamlit run app.py`, plainly, is safe: by the settings that lie beside it."""

import http.client
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from seviz.run.store import Run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def port(planted_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a server started from the repository's folder with nothing said but the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={number}", "--"]
    with log.open("wb") as out:
        process = subprocess.Popen([*command, str(planted_run.path)], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    for _ in range(600):
        try:
            if asked(number)[0] == 200:
                break
        except OSError:
            time.sleep(0.1)
    else:
        pytest.fail(log.read_text())
    yield number
    process.terminate()
    process.wait(30)


def asked(port: int, path: str = "/_stcore/health", method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """The status and the beginning of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with closing(connection):
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        with connection.getresponse() as answer:
            return answer.status, answer.read(200) if answer.status != 101 else b""


def upgraded(port: int, origin: str, host: str = "127.0.0.1") -> int:
    """The answer to a page that wants to talk to the server: all that is shown comes by that way."""
    return asked(
        port,
        "/_stcore/stream",
        Upgrade="websocket",
        Connection="Upgrade",
        Host=host,
        Origin=origin,
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
    )[0]


def test_it_listens_on_this_machine_only(port: int) -> None:
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    places = re.findall(rf": ([0-9A-F]+):{port:04X} [0-9A-F]+:0000 0A", listening)
    assert places == ["0100007F"]  # 127.0.0.1


def test_it_is_asked_for_by_its_own_names_only(port: int) -> None:
    assert upgraded(port, f"http://localhost:{port}", host=f"localhost:{port}") == 101
    # a name of another's that was made to lead here, with a page that comes from there
    assert upgraded(port, "http://evil.example", host="evil.example") == 403


def test_pages_of_other_origins_cannot_talk_to_it(port: int) -> None:
    assert upgraded(port, f"http://localhost:{port}") == 101
    assert upgraded(port, "http://evil.example") == 403


def test_an_upload_takes_the_token_of_the_page(port: int) -> None:
    assert asked(port, "/_stcore/upload_file/session/file", "PUT")[0] in (400, 403)


@pytest.mark.parametrize("path", ["/app/static/x", "/media/../app.py", "/..%2fapp.py", "/%2e%2e/pyproject.toml"])
def test_no_file_is_served(path: str, port: int) -> None:
    status, text = asked(port, path)
    assert status in (400, 403, 404) or text == asked(port, "/")[1]  # the page itself, that of any address
