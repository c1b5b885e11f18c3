"""Tables as the analysis makes them, written down: small, with a known content, for each figure."""

import numpy as np
import pandas as pd

BLOCKS = ("SE_2_1", "SE_2_2", "SE_3_1", "SE_4_1", "SE_4_2")
STAGES = (2, 2, 3, 4, 4)
CLASSES = ("goldfish", "pug", "plane", "cliff")
IDS = tuple(f"n_{name}" for name in CLASSES)
NAMES = dict(zip(IDS, CLASSES, strict=True))


def gates() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frames = []
    for block, channels in (("SE_2_1", 8), ("SE_3_1", 50), ("SE_4_1", 50), ("SE_4_2", 50)):
        for name in (*CLASSES, "all classes"):
            frames.append(
                pd.DataFrame(
                    {
                        "block": block,
                        "class": f"n_{name}" if name != "all classes" else name,
                        "class_name": name,
                        "channel": np.arange(channels) * 3,
                        "mean": random.random(channels),
                        "std": random.random(channels) / 5,
                        "images": 50,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def depth() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "block": BLOCKS,
            "stage": STAGES,
            "omega_squared": [0.1, 0.2, 0.3, 0.6, -0.01],
            "low": [0.05, 0.15, np.nan, 0.55, -0.03],
            "high": [0.15, 0.25, np.nan, 0.65, 0.02],
            "low_classes": [0.0, 0.1, 0.2, np.nan, -0.05],
            "high_classes": [0.2, 0.3, 0.4, np.nan, 0.05],
            "null": [0.01] * 5,
            "std_between": [0.02, 0.03, 0.05, 0.2, 0.0],
            "std_total": [0.1, 0.1, 0.1, 0.3, 0.001],
        }
    )


def decoding() -> pd.DataFrame:
    random, rows = np.random.default_rng(1), []
    for signal in ("excitation", "squeeze"):
        for block, stage in zip(BLOCKS, STAGES, strict=True):
            for width in ("own", "pca64"):
                for decoder in ("centroid", "logistic"):
                    accuracy = 0.3 + 0.6 * random.random()
                    ends = {"low": accuracy - 0.05, "high": accuracy + 0.04}
                    key = {"block": block, "stage": stage, "signal": signal, "width": width, "decoder": decoder}
                    rows.append({**key, "accuracy": accuracy, **ends, "null": 0.25})
    return pd.DataFrame(rows)


def saturation() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "block": BLOCKS,
            "stage": STAGES,
            "near_zero": [0.0, 0.1, 0.2, 0.3, 0.0],
            "near_one": [0.1, 0.2, 0.3, 0.6, 0.95],
            "distance_from_identity": [0.5, 0.4, 0.3, 0.6, 0.05],
            "distance_from_constant": [0.1, 0.2, 0.15, 0.1, 0.01],
            "flag": ["", "", "", "saturated", "near identity"],
        }
    )


def saturation_by_channel() -> pd.DataFrame:
    random = np.random.default_rng(2)
    frames = [pd.DataFrame({"block": b, "channel": range(30), "mean": random.random(30)}) for b in BLOCKS]
    return pd.concat(frames, ignore_index=True)


def means(classes: int = 4, channels: int = 40) -> pd.DataFrame:
    random = np.random.default_rng(3)
    ids = pd.Index([IDS[k] if k < len(IDS) else f"n_{k}" for k in range(classes)], name="class")
    return pd.DataFrame(random.random((classes, channels)), index=ids, columns=range(channels))


def one_channel(classes: int = 4, images: int = 25) -> pd.DataFrame:
    random = np.random.default_rng(4)
    names = [CLASSES[k] if k < len(CLASSES) else f"class {k}" for k in range(classes)]
    frames = [
        pd.DataFrame(
            {"class": f"n_{name}", "class_name": name, "excitation": random.beta(2 + k % 7, 5, images).astype("f4")}
        )
        for k, name in enumerate(names)
    ]
    return pd.concat(frames, ignore_index=True)


def distances(classes: int = 4) -> dict[str, pd.DataFrame]:
    random, tables = np.random.default_rng(5), {}
    for block in BLOCKS:
        apart = random.random((classes, classes))
        apart = (apart + apart.T) / 2
        np.fill_diagonal(apart, 0)
        ids = pd.Index([IDS[k] if k < len(IDS) else f"n_{k}" for k in range(classes)], name="class")
        tables[block] = pd.DataFrame(apart, index=ids, columns=ids)
        tables[block].attrs = {"metric": "correlation"}
    return tables


def components(classes: int = 4, images: int = 20) -> dict[str, pd.DataFrame]:
    random, tables = np.random.default_rng(6), {}
    for block in BLOCKS[:4]:
        ids = [IDS[k] if k < len(IDS) else f"n_{k}" for k in range(classes) for _ in range(images)]
        values = random.standard_normal((len(ids), 2))
        tables[block] = pd.DataFrame({"path": "x.png", "class": ids, "pc1": values[:, 0], "pc2": values[:, 1]})
        tables[block].attrs = {"explained_variance": [0.5, 0.25]}
    return tables


def channels(number: int = 3) -> pd.DataFrame:
    rows = []
    for channel in (7, 2):
        for kind in ("favoured class", "most excited", "least excited"):
            for rank in range(1, number + 1):
                value = 0.9 - rank / 100 if kind != "least excited" else rank / 100
                path = "" if kind == "favoured class" else f"{channel}_{kind[:4]}_{rank}.png"
                name = CLASSES[rank % 4]
                rows.append(
                    {
                        "block": "SE_4_1",
                        "channel": channel,
                        "kind": kind,
                        "rank": rank,
                        "class": f"n_{name}",
                        "class_name": name,
                        "path": path,
                        "value": value,
                    }
                )
    return pd.DataFrame(rows)


def convergence() -> pd.DataFrame:
    random, rows = np.random.default_rng(7), []
    for block, stage in zip(BLOCKS, STAGES, strict=True):
        for size in (1, 2, 5, 10, 20, 50):
            rows.append(
                {
                    "block": block,
                    "stage": stage,
                    "size": size,
                    "mean_order": 1 - random.random() / (1 + size),
                    "omega_order": np.nan if size == 1 else 1 - random.random() / size,
                    "omega_squared_std": np.nan if size == 1 else random.random() / 5 / size,
                }
            )
    return pd.DataFrame(rows)


def comparison() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "block": BLOCKS,
            "stage": STAGES,
            "shift": [0.1, 0.2, np.nan, 0.05, 0.0],
            "low": [0.08, 0.15, np.nan, 0.06, np.nan],
            "high": [0.12, 0.25, np.nan, 0.07, np.nan],
            "difference": [-0.05, 0.1, np.nan, 0.01, 0.0],
            "difference_low": [-0.06, 0.05, np.nan, 0.0, np.nan],
            "difference_high": [-0.04, 0.15, np.nan, 0.02, np.nan],
            "omega_squared_one": [0.1, 0.2, 0.3, 0.6, 0.7],
            "omega_squared_other": [0.2, 0.1, 0.35, 0.5, np.nan],
            "change": [0.1, -0.1, 0.05, -0.1, np.nan],
            "change_low": [0.05, -0.2, 0.0, -0.2, np.nan],
            "change_high": [0.15, 0.0, 0.1, 0.0, np.nan],
            "std_total_one": [0.1, 0.1, 0.2, 0.2, 0.3],
            "std_total_other": [0.2, 0.005, 0.2, 0.2, 0.0],
            "collapsed": ["neither", "other", "neither", "neither", "other"],
        }
    )
