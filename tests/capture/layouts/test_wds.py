"""Tar shards: read in place, whatever a stranger wrote into them."""

import io
import pickle
import tarfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from seviz.capture.datasets import open_dataset
from seviz.capture.layouts.wds import wds
from seviz.errors import DataFormatError, DataNotFoundError, EmptyDataError
from tests.capture.layouts.made_layouts import make_shard, png
from tests.cli.commands import error_of


def test_images_with_their_labels(tmp_path: Path) -> None:
    data = wds("given", str(make_shard(tmp_path / "a.tar")))
    assert (data.spec, data.root, data.split) == ("given", None, None)
    assert data.classes.ids == data.classes.names == ("9", "10")  # in the order of the numbers
    assert data.paths == ("a.tar/1.png", "a.tar/3.png", "a.tar/2.png")
    assert data.labels.tolist() == [0, 0, 1]
    again = pickle.loads(pickle.dumps(data)).take(np.array([1, 2]))
    assert [np.asarray(again.read(k).image)[0, 0, 0] for k in range(2)] == [3, 2]
    assert np.asarray(again.read(0, channels=1).image).shape == (4, 4)
    assert (data.ignored, data.notes) == ({}, ())


def test_labels_of_every_kind(tmp_path: Path) -> None:
    members = {
        "d/a.b.png": b"never read",
        "d/a.png": png(),
        "d/a.txt": b" caption \n",
        "d/a.cls": b"dog",
        "d/b.PNG": png(),
        "d/b.txt": "\ufeffcrane, bird".encode(),
        "c.png": png(),
        "c.json": b'{"caption": "x", "cls": 7}',
        "e.png": png(),
        "e.json": b'"dog"',
        "f.png": png(),
        "g.cls": b"1",
        "h.webp": png(),
        "h.png": png(),
        "h.cls": b"dog",
        "LICENSE": b"free",
    }
    data = wds("", str(make_shard(tmp_path / "x.tar", members)))
    found = dict(zip(data.paths, (data.classes.ids[k] for k in data.labels), strict=True))
    assert found == {
        "x.tar/d/a.png": "dog",
        "x.tar/d/b.PNG": "crane, bird",
        "x.tar/c.png": "7",
        "x.tar/e.png": "dog",
        "x.tar/h.webp": "dog",
    }
    assert data.notes == ("1 images without a label are left out",)
    assert data.ignored == {".png": 2, ".cls": 1, "no extension": 1}


def test_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("val/000", "val/001", "val/002", "train/000", "odd{1}", "odd[1]"):
        make_shard(tmp_path / f"{name}.tar", {"k.png": png(), "k.cls": b"1"})
    monkeypatch.chdir(tmp_path)
    for pattern, paths in (
        ("val/{000..001}.tar", ["000.tar/k.png", "001.tar/k.png"]),
        ("val/{2..0}.tar", None),
        ("val/{002..000}.tar", ["000.tar/k.png", "001.tar/k.png", "002.tar/k.png"]),
        ("{val,train}/00{0,2}.tar", None),
        ("{val,train}/000.tar", ["train/000.tar/k.png", "val/000.tar/k.png"]),
        ("*/000.tar", ["train/000.tar/k.png", "val/000.tar/k.png"]),
        ("val/00[12].tar", ["001.tar/k.png", "002.tar/k.png"]),
        ("val", ["000.tar/k.png", "001.tar/k.png", "002.tar/k.png"]),
        ("{val,val/000.tar}", ["000.tar/k.png", "001.tar/k.png", "002.tar/k.png"]),
        ("odd{1}.tar", ["odd{1}.tar/k.png"]),
        ("odd[1].tar", ["odd[1].tar/k.png"]),
    ):
        if paths is None:
            with pytest.raises(DataNotFoundError, match=r"there is no archive '(val/2|train/002).tar'; expected a "):
                open_dataset(f"wds:{pattern}")
        else:
            assert list(open_dataset(f"wds:{pattern}").paths) == paths, pattern
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(open_dataset("wds:~/val/*.tar")) == 3


def test_so_many_shards_that_they_are_none(tmp_path: Path) -> None:
    for braces in ("{0..999999999}", "{0..99}{0..99}{0..99}", "{a,b}" * 60):
        with pytest.raises(DataFormatError, match="names more than 100,000 archives; give fewer"):
            wds("x", str(tmp_path / braces))


def test_hostile_archives_are_data(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png((77, 77, 77)))
    file = tmp_path / "in" / "evil.tar"
    file.parent.mkdir()
    with tarfile.open(file, "w") as archive:

        def add(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, len(content)
            archive.addfile(member, io.BytesIO(content))

        add("link.png", kind=tarfile.SYMTYPE, link="../secret.png")
        add("link.cls", b"1")
        add("hard.png", kind=tarfile.LNKTYPE, link="../secret.png")
        add("device.png", kind=tarfile.CHRTYPE)
        add("pipe.png", kind=tarfile.FIFOTYPE)
        add("/etc/a.png", png())
        add("/etc/a.cls", b"1")
        add("../up.png", png())
        add("../up.cls", b"1")
        add("a\nb\x1b[2J.png", png())
        add("a\nb\x1b[2J.cls", b"1\x1b")
        add("empty.png")
        add("empty.cls", b"1")
        add(".hidden.png", png())
    before = sorted(path for path in tmp_path.rglob("*"))
    data = wds("", str(file))
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert data.ignored == {"link or device": 4, ".cls": 1, ".png": 1}
    assert all(path.isprintable() and ".." not in path for path in data.paths)
    assert sorted(path.rpartition("/")[2] for path in data.paths)[-1] == "empty.png"
    decoded = [data.read(k) for k in range(len(data))]
    assert sorted(each.status for each in decoded) == ["failed", "ok", "ok", "ok"]
    assert {each.reason for each in decoded} == {"", "the file is empty"}


def test_archives_that_are_damaged(tmp_path: Path) -> None:
    whole = make_shard(tmp_path / "a.tar").read_bytes()
    spec = f"wds:{tmp_path / 'a.tar'}"
    data = open_dataset(spec)
    (tmp_path / "a.tar").write_bytes(whole[: data.places[1, 1] + 9])
    assert data.read(1).reason == "the archive ends before the image does"
    (tmp_path / "a.tar").unlink()
    assert data.read(1).reason == "No such file or directory"
    random = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole[: random.integers(1, len(whole))])
        content[random.integers(len(content))] ^= 1 << random.integers(8)
        (tmp_path / "a.tar").write_bytes(content)
        assert {data.read(k).status for k in range(len(data))} <= {"ok", "failed", "coerced"}
        with suppress(DataFormatError, EmptyDataError):
            open_dataset(spec)
    huge = tarfile.TarInfo("0.png")
    huge.size = 1 << 40
    (tmp_path / "a.tar").write_bytes(huge.tobuf() + bytes(2048))
    with pytest.raises(DataFormatError, match=r"a.tar' cannot be read as a tar archive \(unexpected end of data\)"):
        open_dataset(spec)
    with tarfile.open(tmp_path / "a.tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    assert "expected one, whole and not compressed" in error_of("scan", spec)


def test_larger_than_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seviz.capture.layouts.wds.LARGEST_FILE", 10)
    data = wds("", str(make_shard(tmp_path / "a.tar")))
    assert data.read(0).reason == "larger than 10 bytes"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.png": png(), "a.cls": b"\xff"}, r"the label of 'a.png' cannot be read from .cls \('utf-8' codec"),
        ({"a.png": png(), "a.cls": b" \n"}, "the .cls of 'a.png' tells no label$"),
        ({"a.png": png(), "a.json": b"{"}, r"the label of 'a.png' cannot be read from .json \(Expecting"),
        ({"a.png": png(), "a.json": b"[" * 100_000}, r"the label of 'a.png' cannot be read from .json \("),
        (
            {"a.png": png(), "a.json": rb'"\ud800"'},
            r"the label of 'a.png' cannot be read from .json \('utf-8' codec can't enc",
        ),
        ({"a.png": png(), "a.json": b'{"x": 1}'}, "the .json of 'a.png' tells no label under label, cls, class"),
        ({"a.png": png(), "a.json": b'{"label": [1]}'}, "the .json of 'a.png' tells no label under"),
    ],
)
def test_labels_that_cannot_be_read(members: dict[str, bytes], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match=message):
        wds("", str(make_shard(tmp_path / "a.tar", members)))


def test_nothing_to_open(tmp_path: Path) -> None:
    make_shard(tmp_path / "a.tar", {"a.png": png(), "b.cls": b"1"})
    message = r"data 'given' holds no image with a label in 1 archives; .* beside it \(1 images have none\)"
    with pytest.raises(EmptyDataError, match=message):
        wds("given", str(tmp_path / "a.tar"))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("a.png", "a.cls", "b.png", "a.png", "a.cls"):
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"1"))
    with pytest.raises(DataFormatError, match=r"a.tar' holds 'a.png' twice"):
        wds("", str(tmp_path / "a.tar"))
