"""Names out of files stay in their directory."""

import time
from pathlib import Path

import pytest

from seviz.errors import DataNotFoundError
from seviz.run.inside import image_path, inside

OUT = (
    "../secret.png",
    "a/../../secret.png",
    "a/..",
    "..",
    "",
    "a\0b",
    "/etc/passwd",
    "//server/share/x.png",
    "\\\\server\\share\\x.png",
    "\\x.png",
    "..\\x.png",
    "a\\..\\..\\x.png",
    "C:\\x.png",
    "c:x.png",
    "C:/x.png",
    "\\\\?\\C:\\x.png",
)
IN = (
    "a.png",
    "a/b.png",
    "a..b/c...png",
    "...",
    ".hidden/x",
    "a b",
    "10:30.png",
    "ab:c",
    "grün.png",
    "a/\udce9.png",
    "a" * 300,
)


@pytest.mark.parametrize("name", OUT)
def test_names_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"path outside the data: .* is not followed; expected a relative path"):
        inside(tmp_path, name)


@pytest.mark.parametrize("name", IN)
def test_names_that_stay_are_joined(name: str, tmp_path: Path) -> None:
    assert inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("name", ["%2e%2e/secret.png", "%2E%2E%2Fsecret.png", "%2Fetc%2Fpasswd", "a%00b", *OUT])
def test_a_path_of_an_image_is_judged_as_it_stands_and_decoded(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="path outside the data"):
        image_path(tmp_path, name)


def test_a_name_that_is_percent_encoded(tmp_path: Path) -> None:
    (tmp_path / "50%25.png").touch()
    assert image_path(tmp_path, "50%25.png") == tmp_path / "50%25.png"  # a file that is called so comes first
    assert image_path(tmp_path, "gone%20.png") == tmp_path / "gone%20.png"


def test_a_message_is_short_and_has_no_control_characters(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError) as told:
        inside(tmp_path, "../\x1b[2J" + "x" * 10_000)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 1000


def test_links_in_the_directory_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.png").write_bytes(b"x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "elsewhere.png")
    assert inside(tmp_path / "data", "link.png").read_bytes() == b"x"


def test_a_million_names_take_seconds_at_most(tmp_path: Path) -> None:
    start = time.perf_counter()
    for _ in range(100_000):
        inside(tmp_path, "n01440764/ILSVRC2012_val_00000293.JPEG")
    assert time.perf_counter() - start < 2.5
