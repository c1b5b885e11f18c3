import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import seviz
from seviz.capture.content import content_of_file
from seviz.capture.datasets import open_dataset
from seviz.capture.sources import content_of
from seviz.errors import RunExistsError
from seviz.network.networks import Network
from seviz.run.chunks import Chunk
from seviz.run.joining import merge

pytestmark = pytest.mark.filterwarnings("ignore:(Top-1 accuracy is|.* images failed):UserWarning")


def by_hand(array: np.ndarray) -> str:
    """The recipe of the docstring."""
    line = f"{array.dtype} {tuple(array.shape)}\n".encode("ascii")
    return hashlib.sha256(line + array.tobytes()).hexdigest()[:32]


def test_an_image_in_memory_is_hashed_by_dtype_shape_and_numbers() -> None:
    numbers = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    image = torch.from_numpy(numbers)
    assert content_of(image) == by_hand(numbers)
    turned = image.permute(2, 0, 1)
    assert content_of(turned) == by_hand(numbers.transpose(2, 0, 1).copy())
    assert content_of(image[:, ::2]) == by_hand(numbers[:, ::2].copy())
    others = [image.double(), image.reshape(4, 3, 2), image + 1e-6, image.requires_grad_(True)]
    hashes = [content_of(each) for each in others]
    assert hashes[-1] == by_hand(numbers)
    assert len(set(hashes)) == 4
    half = torch.tensor([[1.0, -2.0]], dtype=torch.bfloat16)
    expected = hashlib.sha256(b"bfloat16 (1, 2)\n" + bytes.fromhex("803f00c0")).hexdigest()[:32]
    assert content_of(half) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_of_files_holds_their_hashes(
    workers: int, tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_folder({"blue": 3, "green": 4, "red": 2})
    (root / "blue" / "000.png").write_bytes(b"no image")
    (root / "red" / "001.png").unlink()
    (root / "red" / "001.png").symlink_to("nowhere.png")
    run = seviz.collect(tiny_network, root, tmp_path / "run", max_failures=1, workers=workers)
    paths = [root / path for path in run.samples["path"]]
    expected = [hashlib.sha256(path.read_bytes()).hexdigest()[:32] if path.exists() else None for path in paths]
    assert [None if value != value else value for value in run.samples["content"]] == expected
    assert expected.count(None) == 1
    assert run.samples["status"].tolist() == ["failed", *["ok"] * 7, "failed"]
    assert Chunk.read(run.chunk_path(0)).samples.contents == tuple(expected)
    assert content_of_file(b"no image") == expected[0]


def test_a_run_of_batches_holds_the_hashes_of_the_tensors(tiny_network: Network, tmp_path: Path) -> None:
    images, labels = torch.rand(10, 3, 16, 16), torch.arange(10) % 3
    run = seviz.collect(tiny_network, [(images, labels)], tmp_path / "run", chunk_size=4, batch_size=3)
    assert run.samples["content"].tolist() == [by_hand(image.numpy()) for image in images]


def test_images_of_cifar10_are_hashed_by_their_pixels() -> None:
    data = open_dataset("bundled", per_class=1)
    for index in range(2):
        decoded = data.read(index)
        path = Path(data.root or "") / data.paths[index]
        assert decoded.content == hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def test_other_pixels_do_not_continue_a_run(tiny_network: Network, tmp_path: Path) -> None:
    images, labels = torch.rand(20, 3, 16, 16), torch.arange(20) % 3
    with pytest.raises(ZeroDivisionError):
        seviz.collect(
            tiny_network,
            [(images, labels)],
            tmp_path / "run",
            batch_size=4,
            chunk_size=11,
            progress=lambda done, _: 1 / max(0, 15 - done),
        )
    other = images.clone()
    other[3, 0, 0, 0] += 0.5
    with pytest.raises(RunExistsError, match=r"holds other images: the pixels in its chunk 0 are others\. Hand over"):
        seviz.collect(tiny_network, [(other, labels)], tmp_path / "run", batch_size=4, chunk_size=11)
    run = seviz.collect(tiny_network, [(images, labels)], tmp_path / "run", batch_size=4, chunk_size=11)
    assert run.samples["content"].tolist() == [by_hand(image.numpy()) for image in images]


def test_joined_runs_keep_them(tiny_network: Network, make_folder: Callable[..., Path], tmp_path: Path) -> None:
    roots = [make_folder({"blue": 2, "green": 2}, name="one"), make_folder({"blue": 1, "red": 2}, name="two")]
    runs = [
        seviz.collect(tiny_network, root, tmp_path / f"run{k}", chunk_size=size, workers=0)
        for k, (root, size) in enumerate(zip(roots, (2, 3), strict=True))
    ]
    joined = merge([run.path for run in runs], tmp_path / "joined")
    assert joined.samples["content"].tolist() == [each for run in runs for each in run.samples["content"]]
    assert joined.manifest.chunk_size == 3
