from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import seviz
from seviz.capture.datasets import Dataset, open_dataset
from seviz.compression.splitting import files, of_classes, scoring_samples, split
from seviz.errors import MissingSignalError, OptionError, UnknownClassError
from seviz.run.parts import Part
from seviz.run.store import Run


@pytest.fixture(scope="module")
def data() -> Dataset:
    return open_dataset("bundled", per_class=10)


@pytest.fixture(scope="module")
def run(bundled_run: Run) -> Run:
    return bundled_run


def test_a_run_is_parted_by_class_and_parts_share_nothing(run: Run, data: Dataset) -> None:
    made = split(run, data, score=0.5, choose=0.2, seed=3)
    assert isinstance(made.run, Part)
    assert [len(made.score), len(made.choose), len(made.final)] == [50, 20, 30]
    for part, each in ((made.score, 5), (made.choose, 2), (made.final, 3)):
        assert np.bincount(part.labels).tolist() == [each] * 10
    sets = [set(files(part)) for part in (made.score, made.choose, made.final)]
    assert not (sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2])
    assert set(made.run.samples["path"]) == set(made.score.paths)
    assert made.record["images for scores"] == 50
    assert made.record["images to judge by"] == 30
    again = split(run, data, score=0.5, choose=0.2, seed=3)
    assert again.final.paths == made.final.paths
    assert split(run, data, score=0.5, choose=0.2, seed=4).final.paths != made.final.paths


def test_the_gates_are_those_of_the_images_for_scores(run: Run, data: Dataset) -> None:
    made = split(run, data, seed=0)
    wanted = run.samples["path"].isin(made.score.paths).to_numpy()
    np.testing.assert_allclose(made.run.total("SE_5_1").mean[0], run.gates("SE_5_1")[wanted].mean(0), atol=1e-5)


def _folder(path: Path, data: Dataset) -> Dataset:
    for number, name in enumerate(data.classes.names):
        (path / name).mkdir(parents=True)
        for k in range(4):
            pixels = np.random.default_rng(10 * number + k).integers(0, 255, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path / name / f"{k}.png")
    return open_dataset(path)


def test_other_images_judge(run: Run, data: Dataset, tmp_path: Path) -> None:
    other = _folder(tmp_path / "other", data)
    made = split(run, data, other=other, score=0.5, choose=0.25, seed=0)
    assert made.run is run
    assert made.score is data
    assert [len(made.choose), len(made.final)] == [20, 20]
    assert set(made.choose.paths) | set(made.final.paths) == set(other.paths)


def test_images_of_the_run_do_not_judge_it(run: Run, data: Dataset) -> None:
    with pytest.raises(OptionError, match="100 images"):
        split(run, data, other=data)


def test_samples_of_the_images_for_scores(run: Run, data: Dataset) -> None:
    made = split(run, data, score=0.6, choose=0.2, seed=0)
    samples = scoring_samples(made, [0, 1], share=0.5)
    for part, images in samples.values():
        assert len(images) == 30
        assert list(part.samples["path"]) == list(images.paths)
        assert set(images.paths) <= set(made.score.paths)
    assert samples[0][1].paths != samples[1][1].paths


def test_samples_where_other_images_judge(run: Run, data: Dataset, tmp_path: Path) -> None:
    made = split(run, data, other=_folder(tmp_path / "other", data), seed=0)
    (part, images) = scoring_samples(made, [0], share=0.2)[0]
    assert list(part.samples["path"]) == list(images.paths)
    assert len(images) == 20


def test_of_classes(data: Dataset) -> None:
    some = of_classes(data, ["dog", "cat"])
    assert set(some.labels) == {data.classes.names.index("cat"), data.classes.names.index("dog")}
    assert len(some) == 20
    assert of_classes(data, None) is data
    with pytest.raises(UnknownClassError, match="unicorn"):
        of_classes(data, ["unicorn"])


def test_wrong_use(run: Run, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"score is 0.8 and choose 0.2, expected numbers above 0 that leave a rest of 1"
    ):
        split(run, data, score=0.8, choose=0.2)
    several = replace(data, labels=np.eye(10, dtype=bool)[data.labels], spec="many", root=tmp_path)
    with pytest.raises(OptionError, match="images of data 'many' have several classes, expected one of each"):
        split(run, data, other=several)
    network = seviz.load("seviz/seresnet50-cifar10")
    few = seviz.collect(network, data, out=tmp_path / "few", keep_gates="per-class:2", compile="off", workers=0)
    with pytest.raises(MissingSignalError, match="does not keep the gates of 80 of its 100 images"):
        split(few, data)
