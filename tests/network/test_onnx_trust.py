"""An ONNX file that a run or a saved network names: read without a word if it is the one that was recorded."""

import json
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from onnx import numpy_helper
from PIL import Image

import seviz
from seviz.errors import PruningError, SevizWarning, TrustError, UnknownModelError
from seviz.experiments.reopening import reopen_network
from seviz.network.networks import Network
from seviz.network.trust import file_sha256, making, require_trust
from seviz.run.store import Run
from tests.cli.commands import error_of
from tests.network.onnx_graphs import CHANNELS, by_onnxruntime, graph, written

pytestmark = pytest.mark.filterwarnings("ignore::seviz.errors.SevizWarning", "ignore:Assumed", "ignore:The classes")


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.chdir(tmp_path)
    return seviz.load(f"onnx:{written(Path('net.onnx'))}", mean=[0.5] * 3, std=[0.25] * 3)


@pytest.fixture
def run(network: Network) -> Run:
    random = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Path("data", name).mkdir(parents=True)
        for number in range(2):
            pixels = random.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(Path("data", name, f"{number}.png"))
    return seviz.collect(network, "data", "run", workers=0, compile="off")


def other(path: str = "net.onnx") -> None:
    """Another slope of the gates, the weights the same."""
    model = graph()
    next(node for node in model.graph.node if node.op_type == "HardSigmoid").attribute[0].f = 0.3
    onnx.save(model, path)


@pytest.mark.parametrize("spec", ["onnx:a/b.onnx", "onnx:a/b.onnx+se", "onnx:a.py:make", "onnx:hf-hub:a/b"])
def test_an_onnx_file_is_no_code(spec: str) -> None:
    made = making(spec)
    assert (made.foreign, made.acts, made.code) == (False, False, "")
    assert made.file == made.onnx == spec.removeprefix("onnx:").removesuffix("+se")


def test_a_run_is_opened_with_the_file_it_was_made_with(run: Run, network: Network) -> None:
    assert run.manifest.model.factory_sha256 == network.factory_sha256 == file_sha256(Path("net.onnx"))
    told: list[str] = []
    again = reopen_network(run, tell=told.append)
    assert told == ["model: 'onnx:net.onnx', as 'run/manifest.json' says"]
    assert (again.weights_sha256, again.preprocessing) == (network.weights_sha256, network.preprocessing)
    other()
    message = (
        r"has model.spec 'onnx:net.onnx', and making that network reads the ONNX file 'net.onnx', which is another"
    )
    with pytest.raises(TrustError, match=message):
        reopen_network(run)
    assert "--trust-code" in error_of("intervene", "run")
    with pytest.warns(SevizWarning, match="The ONNX file 'net.onnx' was changed since 'run/manifest.json' was written"):
        reopen_network(run, trust_code=True)
    Path("net.onnx").unlink()
    with pytest.raises(UnknownModelError, match=r"model 'onnx:net.onnx' not found: there is no file"):
        reopen_network(run)
    Path("net.onnx").mkdir()
    with pytest.raises(TrustError, match=r"reads the ONNX file 'net.onnx' \(it is a directory, expected a"):
        reopen_network(run)


def test_a_saved_network_is_opened_with_the_file_it_was_made_from(network: Network) -> None:
    seviz.save(network, "saved")
    again = seviz.load("saved")
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(again.model(x), network.model(x), rtol=0, atol=0)
    other()
    with pytest.raises(TrustError, match=r"'saved/network.json' has base 'onnx:net.onnx', and .*is another file now"):
        seviz.load("saved")
    with pytest.raises(TrustError, match=r"^'saved/network.json' has base 'onnx:net.onnx'"):
        require_trust("saved", file=Path("f"), field="x")
    assert seviz.load("saved", trust_code=True).blocks["SE_2_1"].gate == "hard_sigmoid(0.3, 0.5)"
    assert seviz.load("saved", model="onnx:net.onnx").blocks["SE_2_1"].gate == "hard_sigmoid(0.3, 0.5)"
    record = json.loads(Path("saved/network.json").read_text())
    del record["factory_sha256"]
    Path("saved/network.json").write_text(json.dumps(record))
    with pytest.raises(TrustError, match=r"reads the ONNX file 'net.onnx', whose SHA-256 is not recorded there"):
        seviz.load("saved")


def test_a_gate_is_folded_and_the_network_saved(run: Run, network: Network) -> None:
    gate = run.gates("SE_2_1").astype(np.float64).mean(0)
    folded = seviz.fold(network, run)
    assert not folded.blocks
    seviz.save(folded, "folded")
    again = seviz.load("folded")
    x = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), seviz.force_gates(network.model, network.blocks, {"SE_2_1": torch.tensor(gate).float()}):
        expected = network.model(x)
    for each in (folded, again):
        with torch.no_grad():
            torch.testing.assert_close(each.model(x), expected, rtol=1e-5, atol=1e-5)


def test_channels_are_masked_and_cut_where_the_network_does_not_return_them(network: Network) -> None:
    scores = pd.DataFrame({"block": "SE_2_1", "channel": range(CHANNELS), "score": np.arange(CHANNELS) % 4})
    x = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)
    with torch.no_grad(), seviz.mask(network, scores, keep=0.5):
        logits = network.model(torch.from_numpy(x)).numpy()
    (flat,) = by_onnxruntime(Path("net.onnx"), ["flat"], x)
    matrix = next(numpy_helper.to_array(each) for each in graph().graph.initializer if each.name == "matrix")
    np.testing.assert_allclose(logits, flat * (np.arange(CHANNELS) % 4 >= 2) @ matrix, rtol=1e-5, atol=1e-5)
    with pytest.raises(PruningError, match="the channels of 'Conv' are what the network returns"):
        seviz.prune(network, scores, parameters=0.5, kind="gated")
    smaller = seviz.prune(network, scores, keep_channels=0.5)  # within the branch
    assert len(smaller.model.state_dict()["Conv.weight"]) == CHANNELS // 2
    with torch.no_grad():
        network.model.Conv.weight[np.arange(CHANNELS) % 4 < 2] = 0  # neither squeezed nor returned
        torch.testing.assert_close(smaller.model(torch.from_numpy(x)), network.model(torch.from_numpy(x)))


def test_weights_of_another_file(network: Network) -> None:
    state = {name: tensor + 0.5 for name, tensor in network.model.state_dict().items()}
    torch.save(state, "other.pt")
    again = seviz.load("onnx:net.onnx", weights="other.pt")
    assert again.weights_file_sha256 == file_sha256(Path("other.pt"))
    assert again.factory_sha256 == network.factory_sha256
    for name, tensor in again.model.state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=0, atol=0)
