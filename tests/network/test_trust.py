"""What may be made from a spec that stands in a file. Code that must not run leaves a file, which is looked for."""

import hashlib
import json
import py_compile
import re
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import nn

import seviz
from seviz.errors import OptionError, SavedNetworkError, SevizWarning, TrustError, UnknownModelError, WeightsError
from seviz.network import libraries, trust
from seviz.network.trust import HUB, LIBRARIES, Making, factory_remark, is_saved_network, making, require_trust
from tests.network.evil import Evil

PLAIN = ("timm/seresnet50", "timm/seresnet50.ra2_in1k", "torchvision/efficientnet_b0+se", "seviz/seresnet50-cifar10")
FOREIGN = (
    "a/b.py:make",
    "timm/b.py:make+se",
    "seviz/../x.py:f",
    "hf-hub:some/one",
    "hf-hub:some/one+se",
    "timm/hf-hub:some/one",
    "hf_hub:some/one",
    "local-dir:/tmp/x",
    "timm/local-dir:/tmp/x",
    "timm/",
    "timm",
    "TIMM/seresnet50",
    "timm\\seresnet50",
    "timm/a/b",
    "timm/seresnet50\n",
    " timm/seresnet50",
    "timm/seresnet50+se+se",
    "timm/../timm/seresnet50",
    "torchvision/resnet18:f",
    "anything",
    "",
    "x" * 5000,
    "a\0b",
)


def saved(directory: Path, base: object) -> str:
    """A directory with the record of a saved network, and no weights."""
    directory.mkdir(parents=True)
    changes = {"removed": [], "spread": {}, "widths": {}, "shapes": {}}
    record = {"format": 1, "base": base, "trained": True, "weights_sha256": "0" * 64, "changes": changes}
    (directory / "network.json").write_text(json.dumps(record))
    return str(directory)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("spec", PLAIN)
def test_names_of_installed_libraries_are_plain(spec: str) -> None:
    made = making(spec)
    assert (made.foreign, made.acts, made.code) == (False, False, "")
    assert require_trust(spec, file=Path("f"), field="x") == Making(spec)


@pytest.mark.parametrize("spec", FOREIGN)
def test_whatever_else_takes_trust(spec: str) -> None:
    with pytest.raises(
        TrustError, match=r"'f/manifest.json' has model.spec .*--trust-code .*--model .*\(model="
    ) as told:
        require_trust(spec, file=Path("f/manifest.json"), field="model.spec")
    assert told.value.exit_code == 2
    assert len(str(told.value)) < 1000
    assert str(told.value).isprintable()
    require_trust(spec, file=Path("f"), field="x", trust_code=True)
    require_trust(spec, file=Path("f"), field="x", model=spec)
    with pytest.raises(TrustError):
        require_trust(spec, file=Path("f"), field="x", model=f"{spec}2")


def test_every_network_that_a_library_lists_has_a_plain_name() -> None:
    known = [f"timm/{name}" for name in [*timm.list_models(), *timm.list_pretrained()]]
    known += [f"torchvision/{name}" for name in torchvision.models.list_models()]
    known += [f"seviz/{name}" for name in libraries.reference.ARCHITECTURES]
    assert [name for name in known if making(name).foreign] == []
    assert tuple(libraries._LIBRARIES) == LIBRARIES


def test_what_is_said_of_what_making_does() -> None:
    assert (making("a/b.py:make+se").code, making("seviz/../x.py:f").code) == ("a/b.py", "seviz/../x.py")
    assert making("a/b.py:make").does == "executes the Python file 'a/b.py'"
    assert making("hf-hub:some/one.py:x").code == ""
    assert making("hf-hub:some/one").does == "fetches a network of someone's from the Hugging Face hub"
    assert making("anything").does == "takes more than a name of timm, torchvision or seviz"
    assert [making(spec).acts for spec in ("a.py:f", f"{HUB}a/b", "anything")] == [True, True, False]


def test_saved_networks_are_what_they_are_made_from(tmp_path: Path) -> None:
    assert not making(saved(tmp_path / "plain", "timm/seresnet50")).foreign
    inner = saved(tmp_path / "inner", "b.py:make")
    outer = saved(tmp_path / "outer", inner)
    assert making(outer) == Making("b.py:make", (outer, inner))
    with pytest.raises(TrustError, match=re.escape(f"'{inner}/network.json' has base 'b.py:make'")):
        require_trust(outer, file=Path("f"), field="x")
    saved(tmp_path / "timm" / "seresnet50", "c.py:make")  # a directory called so is loaded in its place
    assert making("timm/seresnet50").code == "c.py"
    around = saved(tmp_path / "round", str(tmp_path / "round"))
    with pytest.raises(SavedNetworkError, match="is made from another, and that from another, 8 times over"):
        making(around)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "base is missing"),
        ('{"base": 3}', "base is 3, expected a spec"),
        ('["base"]', "it is a list of 1, expected an object"),
        ("{", "it is not JSON \\(Expecting"),
        ("[" * 200_000, "nested .* levels deep"),
        ("\udce9", "it is not UTF-8 \\(byte 0\\)"),
    ],
)
def test_records_that_cannot_be_read(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text(text, errors="surrogateescape")
    with pytest.raises(SavedNetworkError, match=message):
        making(str(tmp_path))
    with pytest.raises(SavedNetworkError, match=r"is damaged|has format"):
        seviz.load(str(tmp_path))


def test_a_record_of_any_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "network.json").open("wb") as file:
        file.truncate(10 * 2**30)  # takes no room
    with pytest.raises(SavedNetworkError, match="it has 10,737,418,240 bytes, expected at most 67,108,864"):
        seviz.load(str(tmp_path))


def test_a_name_that_no_directory_can_have_is_none() -> None:
    assert not is_saved_network("x" * 5000)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_saved_network_executes_nothing_by_itself(depth: int, evil: Evil, tmp_path: Path) -> None:
    place = evil.saved(tmp_path / "1")
    for number in range(2, depth + 1):
        place = evil.saved(tmp_path / str(number), base=place)
    said = rf"1/network.json' has base '{evil.spec}', and making that network executes the Python file '{evil.file}'"
    with pytest.raises(TrustError, match=said):
        seviz.load(place)
    with pytest.raises(TrustError):
        seviz.load(place, model=saved(tmp_path / "other", evil.spec))
    assert not evil.ran
    network = seviz.load(place, trust_code=True)
    assert evil.ran
    assert network.model(torch.zeros(1, 3, 8, 8)).shape == (1, 4)
    evil.forget()
    assert seviz.load(place, model=evil.spec).weights_sha256 == network.weights_sha256
    assert evil.ran


def test_the_hub_is_asked_for_nothing_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def create_model(name: str, **options: object) -> nn.Module:
        asked.append(name)
        raise OSError("no connection")

    monkeypatch.setattr(timm, "create_model", create_model)
    place = saved(tmp_path / "hub", "hf-hub:some/one")
    (tmp_path / "hub" / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(TrustError, match="fetches a network of someone's from the Hugging Face hub"):
        seviz.load(place)
    assert asked == []
    with pytest.raises(WeightsError, match="could not be loaded"):
        seviz.load(place, trust_code=True)
    assert asked == ["hf-hub:some/one"]


def test_another_base_than_that_of_the_file_is_ones_own_choice(evil: Evil, tmp_path: Path) -> None:
    place = evil.saved(tmp_path / "one")
    mine = tmp_path / "mine.py"
    mine.write_text(evil.plain)
    with pytest.warns(SevizWarning, match=r"mine.py' was changed since .*network.json' was written"):
        network = seviz.load(place, model=f"{mine}:factory")
    assert not evil.ran
    assert network.base == f"{mine}:factory"
    mine.write_text(evil.plain.replace("4)", "5)"))
    with (
        pytest.warns(SevizWarning, match="was changed since"),
        pytest.raises(WeightsError, match="do not fit this Sequential"),
    ):
        seviz.load(place, model=f"{mine}:factory")
    with pytest.raises(OptionError, match=r"model is 'timm/x', but 'timm/y' is no directory of a saved network"):
        seviz.load("timm/y", model="timm/x")


def test_a_changed_file_is_said(evil: Evil, tmp_path: Path) -> None:
    place = evil.saved(tmp_path / "one")
    record = json.loads((tmp_path / "one" / "network.json").read_text())
    before = hashlib.sha256(evil.file.read_bytes()).hexdigest()
    assert record["factory_sha256"] == before
    assert seviz.load(place, trust_code=True).remarks == ()
    evil.file.write_text(f"{evil.file.read_text()}# another\n")
    now = hashlib.sha256(evil.file.read_bytes()).hexdigest()
    said = rf"changed since .*/one/network.json' was written \(SHA-256 {now[:12]}, there {before[:12]}\)"
    with pytest.warns(SevizWarning, match=said):
        network = seviz.load(place, trust_code=True)
    assert len(network.remarks) == 1
    assert re.search(said, network.remarks[0])
    assert network.factory_sha256 == now


def test_what_is_executed_is_what_the_digest_is_of(evil: Evil, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text(evil.file.read_text())
    beside = Path(evil.file.parent / "__pycache__" / "evil.cpython-311.pyc")
    py_compile.compile(str(other), str(beside), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    evil.file.write_text(evil.plain)
    assert seviz.load(evil.spec).factory_sha256 == hashlib.sha256(evil.plain.encode()).hexdigest()
    assert not evil.ran


def test_weights_are_compared_before_anything_is_built(evil: Evil, tmp_path: Path) -> None:
    place = evil.saved(tmp_path / "one")
    weights = tmp_path / "one" / "weights.safetensors"
    weights.write_bytes((weights.read_bytes())[:-1] + b"\1")
    evil.forget()
    with pytest.raises(SavedNetworkError, match=r"weights.safetensors' is damaged: its weights are not those"):
        seviz.load(place, trust_code=True)
    assert not evil.ran
    weights.unlink()
    weights.symlink_to("/dev/zero")
    with pytest.raises(SavedNetworkError, match=r"weights.safetensors' is damaged: it is a link that leads out of"):
        seviz.load(place, trust_code=True)
    weights.unlink()
    weights.touch()
    with pytest.raises(WeightsError, match=r"weights.safetensors' cannot be read \(it has 0 bytes\)"):
        seviz.load(place, trust_code=True)
    assert not evil.ran


def test_a_network_of_a_directory_is_saved_again_from_what_it_was_made_of(evil: Evil, tmp_path: Path) -> None:
    network = seviz.load(evil.saved(tmp_path / "one"), trust_code=True)
    other = tmp_path / "other.py"
    other.write_text("raise SystemExit")
    record = json.loads((tmp_path / "one" / "network.json").read_text())
    (tmp_path / "one" / "network.json").write_text(json.dumps({**record, "base": f"{other}:factory"}))
    seviz.save(network, tmp_path / "two")
    assert json.loads((tmp_path / "two" / "network.json").read_text())["base"] == evil.spec


def test_what_is_downloaded_is_said_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def create_model(name: str, **options: object) -> nn.Module:
        assert "downloading" in capsys.readouterr().err
        raise OSError("no connection")

    monkeypatch.setattr(timm, "create_model", create_model)
    monkeypatch.setattr(libraries, "try_to_load_from_cache", lambda repository, file: None)
    with pytest.raises(WeightsError, match="could not be loaded"):
        seviz.load("timm/seresnet50")


def test_what_was_downloaded_before_is_not_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    address = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    assert not libraries._cached(address)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "resnet18-f37072fd.pth").touch()
    assert libraries._cached(address)
    asked = []

    def cached(repository: str, file: str) -> str | None:
        asked.append((repository, file))
        return "there" if file == "pytorch_model.bin" else None

    monkeypatch.setattr(libraries, "try_to_load_from_cache", cached)
    assert libraries._cached("https://huggingface.co/timm/seresnet50.ra2_in1k/resolve/main/model.safetensors")
    assert asked == [("timm/seresnet50.ra2_in1k", name) for name in ("model.safetensors", "pytorch_model.bin")]


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made.py").touch()
    made = making(f"{tmp_path / 'made.py'}:make")
    assert factory_remark(Making("gone.py:make"), "0" * 64, file=tmp_path) == ""
    assert factory_remark(made, None, file=tmp_path) == ""
    assert "SHA-256 e3b0c44298fc, there 000000000000" in factory_remark(made, "0" * 64, file=tmp_path)

    def denied(path: Path, *more: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(UnknownModelError, match=r"made.py' cannot be read \(Permission denied\)"):
        seviz.load(made.spec)


def test_messages_have_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    trust.told(trust.named("model", "a\x1b[2J\u202eb" + "c" * 1000, Path("manifest.json")))
    told = capsys.readouterr().err
    assert told.startswith("model: 'a\\x1b[2J\\u202ebccc")
    assert told.endswith("...', as 'manifest.json' says\n")
    assert len(told) < 400
