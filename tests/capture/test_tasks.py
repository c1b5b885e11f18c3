"""Data in the shape of Places365 and COCO, through networks for classification, detection and segmentation."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.models.segmentation import LRASPP_MobileNet_V3_Large_Weights

import seviz
from seviz.network.backbones import SegmentationPreprocess
from seviz.network.networks import Network

NETWORKS = {
    "classification": "timm/mobilenetv3_small_050",
    "detection": "torchvision/ssdlite320_mobilenet_v3_large",
    "segmentation": "torchvision/lraspp_mobilenet_v3_large",
}
SIZES = [(60, 48), (48, 60), (90, 30)]


@cache
def network(task: str) -> Network:
    loaded = seviz.load(NETWORKS[task], weights="none")
    if task == "segmentation":  # by the shorter side, which otherwise is of 520
        small = LRASPP_MobileNet_V3_Large_Weights.DEFAULT.transforms(resize_size=64)
        return replace(loaded, preprocess=SegmentationPreprocess(small), input_size=(3, 64, 64))
    return loaded


def save(path: Path, k: int) -> None:
    width, height = SIZES[k % 3]
    pixels = np.random.default_rng(k).integers(0, 255, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def places365(root: Path) -> str:
    """Seven images of three classes, one file cut short."""
    labels = [2, 0, 0, 2, 2, 0, 2]
    (root / "categories_places365.txt").parent.mkdir(parents=True)
    (root / "categories_places365.txt").write_text("/a/airfield 0\n/a/alcove 1\n/b/bar 2\n")
    names = [f"Places365_val_{k:08d}.jpg" for k in range(1, 8)]
    (root / "places365_val.txt").write_text("".join(f"{n} {y}\n" for n, y in zip(names, labels, strict=True)))
    for k, name in enumerate(names):
        save(root / "val_256" / name, k)
    broken = root / "val_256" / names[3]
    broken.write_bytes(broken.read_bytes()[:200])
    return f"places365:{root}"


def coco(root: Path) -> str:
    """Six images: of people and dogs, of either, of three dogs, and of nothing."""
    objects = {1: [1, 18], 2: [1], 3: [18, 18, 18], 4: [], 5: [18, 1, 1], 6: [1]}
    categories = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}, {"id": 18, "name": "dog"}]
    annotations = [(image, category) for image, found in objects.items() for category in found]
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "instances_val2017.json").write_text(
        json.dumps(
            {
                "images": [{"id": k, "file_name": f"{k:012d}.jpg", "width": 60, "height": 48} for k in objects],
                "categories": categories,
                "annotations": [
                    {
                        "id": n,
                        "image_id": image,
                        "category_id": category,
                        "bbox": [0, 0, 9, 9],
                        "area": 81,
                        "iscrowd": 0,
                    }
                    for n, (image, category) in enumerate(annotations, start=1)
                ],
            }
        )
    )
    for k in objects:
        save(root / "val2017" / f"{k:012d}.jpg", k)
    return f"coco:{root}"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("task", NETWORKS)
def test_counts_per_class_are_those_of_the_data(task: str, tmp_path: Path) -> None:
    options = {"batch_size": 4, "chunk_size": 5, "workers": 0, "compile": "off", "max_failures": 0.2}
    places = seviz.collect(network(task), places365(tmp_path / "places"), tmp_path / "1", **options)
    people = seviz.collect(network(task), coco(tmp_path / "coco"), tmp_path / "2", **options)
    assert len(places.blocks) == len(people.blocks) == (9 if task == "classification" else 8)
    for name in (places.blocks[0], places.blocks[-1]):
        assert places[name]["count"].values.tolist() == [3, 0, 3]
        assert places.total(name).count.tolist() == [6]
        assert people[name]["count"].values.tolist() == [4, 0, 3]  # images, not objects
        assert people.total(name).count.tolist() == [6]
        gates = people.gates(name).astype(np.float64)
        dogs = [path in ("000000000001.jpg", "000000000003.jpg", "000000000005.jpg") for path in people.samples["path"]]
        np.testing.assert_allclose(people[name]["mean"][2], gates[dogs].mean(0), atol=1e-5)
        assert np.isfinite(gates).all()
    assert places.samples["status"].value_counts().to_dict() == {"ok": 6, "failed": 1}
    assert (places.manifest.data.labels, people.manifest.data.labels) == ("single", "multi")
    assert people.manifest.model.task == task
    assert people.accuracy is None
