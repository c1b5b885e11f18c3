from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from seviz.errors import MissingSignalError
from seviz.stats.entropy import effective_rank, histogram_entropy, stable_rank
from seviz.tables.saturation import flag, saturation
from seviz.tables.saturation_by_channel import saturation_by_channel
from tests.made_runs import make_run

LABELS = np.repeat(range(3), (40, 25, 55))
FAILED = [3, 50, 119]
GOOD = ~np.isin(np.arange(len(LABELS)), FAILED)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def logits(channels: int, seed: int = 0, spread: float = 1.0) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    return random.normal(size=channels) + spread * random.normal(size=(len(LABELS), channels))


def test_effective_rank_is_the_exponential_of_scipys_entropy() -> None:
    values = np.random.default_rng(0).gamma(1, size=40)
    assert effective_rank(values) == pytest.approx(np.exp(stats.entropy(values)))
    assert effective_rank(7 * values) == pytest.approx(effective_rank(values))
    assert effective_rank([2.0, 2.0, 2.0, 0.0]) == pytest.approx(3)
    assert np.isnan(effective_rank([]))
    assert np.isnan(effective_rank([0.0, 0.0]))


def test_stable_rank_is_a_ratio_of_norms() -> None:
    matrix = np.random.default_rng(0).normal(size=(12, 5)) @ np.random.default_rng(1).normal(size=(5, 12))
    expected = np.linalg.norm(matrix, "fro") ** 2 / np.linalg.norm(matrix, 2) ** 2
    assert stable_rank(np.linalg.svd(matrix, compute_uv=False)) == pytest.approx(expected)
    assert np.isnan(stable_rank([]))
    assert np.isnan(stable_rank([0.0]))


def test_entropy_is_scipys_of_numpys_histogram_corrected() -> None:
    x = np.random.default_rng(0).beta(0.5, 2, size=(300, 100))
    for channel, entropy in enumerate(histogram_entropy(x, 0, 1)):
        count, _ = np.histogram(x[:, channel], bins=21, range=(0, 1))
        expected = stats.entropy(count, base=2) + ((count > 0).sum() - 1) / (2 * 300) / np.log(2)
        assert entropy == pytest.approx(expected)


def test_entropy_does_not_grow_with_the_number_of_images() -> None:
    x = np.random.default_rng(0).beta(3, 2, size=(60, 2000))
    few, many = histogram_entropy(x, 0, 1).mean(), histogram_entropy(x.reshape(-1, 1), 0, 1).item()
    plain = np.mean([stats.entropy(np.histogram(column, 21, (0, 1))[0], base=2) for column in x.T])
    assert many - plain > 0.15
    assert few == pytest.approx(many, abs=0.06)


def test_entropy_of_what_has_no_spread_is_zero_and_that_of_a_uniform_gate_the_greatest() -> None:
    x = np.column_stack([np.full(2100, 0.5), np.full(2100, 1.0), np.arange(2100) / 2100 + 1e-6])
    np.testing.assert_allclose(histogram_entropy(x, 0, 1), [0, 0, np.log2(21)], atol=1e-9)
    np.testing.assert_allclose(histogram_entropy(2 * x - 1, -1, 1), [0, 0, np.log2(21)], atol=1e-9)


def test_entropy_leaves_out_images_that_failed_and_wants_two() -> None:
    x = np.random.default_rng(0).random((50, 70)).astype(np.float32)
    gap = np.insert(x, 7, np.nan, axis=0)
    np.testing.assert_array_equal(histogram_entropy(gap, 0, 1), histogram_entropy(x, 0, 1))
    assert np.isnan(histogram_entropy(x[:1], 0, 1)).all()
    assert np.isnan(histogram_entropy(x[:0], 0, 1)).all()


def test_table_agrees_with_the_gates(tmp_path: Path) -> None:
    gates = {"SE_2_1": sigmoid(logits(8)), "SE_3_1": sigmoid(3 * logits(12, 1))}
    singular = np.array([3.0, 1.0, 0.5])
    run = make_run(tmp_path / "run", gates, LABELS, failed=FAILED, singular_values={"SE_3_1": tuple(singular)})
    table = saturation(run).set_index("block")
    assert table.attrs["remarks"] == []
    for name, every in gates.items():
        row, x = table.loc[name], every[GOOD]
        assert (row["stage"], row["channels"], row["images"]) == (int(name[3]), x.shape[1], 117)
        assert row["near_zero"] == pytest.approx((x < 0.05).mean())
        assert row["near_one"] == pytest.approx((x > 0.95).mean())
        assert row["distance_from_identity"] == pytest.approx(np.sqrt(np.mean((x - 1) ** 2)), rel=1e-5)
        assert row["distance_from_constant"] == pytest.approx(np.sqrt(np.mean((x - x.mean(0)) ** 2)), rel=1e-5)
        assert row["entropy"] == pytest.approx(histogram_entropy(x, 0, 1).mean(), abs=0.02)
        assert (row["exactly_zero"], row["exactly_one"], row["constant_channels"]) == (0, 0, 0)
    assert table.loc["SE_3_1", "effective_rank"] == pytest.approx(np.exp(stats.entropy(singular)))
    assert table.loc["SE_3_1", "stable_rank"] == pytest.approx((singular**2).sum() / 9)
    assert table.loc["SE_2_1", ["effective_rank", "stable_rank"]].isna().all()


def test_planted_blocks_are_flagged_and_a_healthy_one_is_not(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    near_one = sigmoid(4 + logits(40, spread=0.5))  # as the paper draws SE_5_2: most near 1, a few dips
    near_one[:, :6] = sigmoid(1 + logits(6))
    switching = np.where(random.random((len(LABELS), 40)) < 0.4, 0.01, 0.99)
    gates = {
        "SE_4_1": sigmoid(logits(40)),
        "SE_4_2": np.clip(0.93 + 0.01 * logits(40), 0, 1),
        "SE_5_1": np.clip(random.random(40) + 0.01 * random.normal(size=(len(LABELS), 40)), 0, 1),
        "SE_5_2": near_one,
        "SE_5_3": switching,
    }
    table = saturation(make_run(tmp_path / "run", gates, LABELS)).set_index("block")
    assert list(table["flag"]) == ["", "near identity", "near constant", "near identity", "saturated"]
    assert table.loc["SE_5_2", "near_one"] > 0.5
    assert table.loc["SE_5_3", "distance_from_constant"] > 0.4


@pytest.mark.parametrize(
    ("near_zero", "near_one", "identity", "constant", "size", "expected"),
    [
        (0, 0, 0.09, 0.09, 0.9, "near identity"),
        (0, 0.6, 0.2, 0.2, 0.9, "near identity"),
        (0, 0.4, 0.2, 0.2, 0.9, ""),
        (0.1, 0.6, 0.3, 0.3, 0.8, "saturated"),
        (0.6, 0, 0.9, 0.3, 0.4, "saturated"),
        (1, 0, 1, 0, 0, "near constant"),
        (0, 0, 0.5, 0.04, 0.5, "near constant"),
        (np.nan, np.nan, 0.05, 0.05, 1, "near identity"),
        (np.nan, np.nan, np.nan, 3, 5, ""),
        (np.nan, np.nan, np.nan, np.nan, np.nan, ""),
    ],
)
def test_flags(near_zero: float, near_one: float, identity: float, constant: float, size: float, expected: str) -> None:
    assert flag(near_zero, near_one, identity, constant, size) == expected


def test_hard_sigmoid_is_exactly_zero_and_one(tmp_path: Path) -> None:
    x = np.clip(logits(10, spread=3) / 6 + 0.5, 0, 1)
    x[:, 0], x[:, 1], x[:, 2] = 0, 1, 0.02
    run = make_run(tmp_path / "run", {"SE_2_1": x}, LABELS, gate="hard_sigmoid")
    row = saturation(run).loc[0]
    assert row["exactly_zero"] == pytest.approx((x == 0).mean())
    assert row["exactly_one"] == pytest.approx((x == 1).mean())
    assert row["exactly_zero"] > 0.1
    assert (row["always_off"], row["always_on"], row["constant_channels"]) == (2, 1, 3)
    channels = saturation_by_channel(run)
    assert list(np.flatnonzero(channels["always_off"])) == [0, 2]
    assert list(np.flatnonzero(channels["always_on"])) == [1]
    assert list(np.flatnonzero(channels["constant"])) == [0, 1, 2]


def test_a_channel_is_constant_below_a_thousandth(tmp_path: Path) -> None:
    wave = np.where(np.arange(len(LABELS)) % 2, 1.0, -1.0)[:, None]
    x = 0.5 + wave * [0.0009, 0.0011, 0.4]
    channels = saturation_by_channel(make_run(tmp_path / "run", {"SE_2_1": x}, LABELS))
    assert list(channels["constant"]) == [True, False, False]
    np.testing.assert_allclose(channels["std"], [0.0009, 0.0011, 0.4], rtol=1e-4)


@pytest.mark.parametrize(
    ("gate", "low", "high", "known"),
    [
        ("tanh", -1, 1, {"near_one", "entropy"}),
        ("one_plus_tanh", 0, 2, {"near_zero", "entropy"}),
        ("relu", 0, np.inf, {"near_zero"}),
        ("relu6", 0, 6, {"near_zero", "entropy"}),
        ("other", -np.inf, np.inf, set()),
    ],
)
def test_gates_of_other_ranges_tell_what_makes_sense(
    tmp_path: Path, gate: str, low: float, high: float, known: set[str]
) -> None:
    x = np.clip(3 * logits(6), low, high).astype(np.float32)
    table = saturation(make_run(tmp_path / "run", {"SE_2_1": x}, LABELS, gate=gate))
    row = table.loc[0]
    assert {name for name in ("near_zero", "near_one", "entropy") if not np.isnan(row[name])} == known
    assert row["distance_from_identity"] == pytest.approx(np.sqrt(np.mean((x.astype(float) - 1) ** 2)))
    assert row["exactly_zero"] == pytest.approx((x == 0).mean())
    assert table.attrs["remarks"][0].startswith(f"The gates ({gate}) are not bounded by 0 and 1")


def test_a_gate_around_one_that_is_not_bounded_by_it_can_be_near_the_identity(tmp_path: Path) -> None:
    x = 1 + np.tanh(0.05 * logits(6))
    table = saturation(make_run(tmp_path / "run", {"SE_2_1": x}, LABELS, gate="one_plus_tanh"))
    assert list(table["flag"]) == ["near identity"]


def test_other_signals_have_no_range(tmp_path: Path) -> None:
    squeeze = np.abs(100 * logits(5))
    squeeze[:, 4] = 0
    run = make_run(tmp_path / "run", {"SE_2_1": sigmoid(logits(5))}, LABELS, signals={"squeeze": {"SE_2_1": squeeze}})
    table = saturation(run, signal="squeeze")
    row = table.loc[0]
    assert row[["near_zero", "near_one", "entropy", "distance_from_identity"]].isna().all()
    assert row["distance_from_constant"] == pytest.approx(np.sqrt(squeeze.var(0).mean()))
    assert (row["constant_channels"], row["exactly_zero"], row["flag"]) == (1, 0.2, "")
    assert table.attrs["remarks"][0].startswith("squeeze has no range of its own")


def test_without_gates_of_images_only_the_entropy_is_missing(tmp_path: Path) -> None:
    gates = {"SE_2_1": sigmoid(logits(8))}
    full = saturation(make_run(tmp_path / "full", gates, LABELS))
    bare = saturation(make_run(tmp_path / "bare", gates, LABELS, kept=np.zeros(len(LABELS), bool)))
    assert bare["entropy"].isna().all()
    assert full.drop(columns="entropy").equals(bare.drop(columns="entropy"))
    assert bare.attrs["remarks"] == ["The run keeps the gates of no image: the entropy is left out."]


def test_channels_agree_with_their_gates(tmp_path: Path) -> None:
    gates = {"SE_2_1": sigmoid(logits(4)), "SE_3_1": sigmoid(3 * logits(6, 1))}
    run = make_run(tmp_path / "run", gates, LABELS, failed=FAILED)
    table = saturation_by_channel(run)
    assert list(zip(table["block"], table["channel"], strict=True)) == [
        (name, channel) for name, x in gates.items() for channel in range(x.shape[1])
    ]
    part, x = saturation_by_channel(run, blocks=["SE_3_1"]), gates["SE_3_1"][GOOD]
    assert part.equals(table[table["block"] == "SE_3_1"].reset_index(drop=True))
    for name, expected in {
        "mean": x.mean(0),
        "std": x.std(0),
        "min": x.min(0),
        "max": x.max(0),
        "near_zero": (x < 0.05).mean(0),
        "near_one": (x > 0.95).mean(0),
        "distance_from_identity": np.sqrt(np.mean((x - 1) ** 2, 0)),
    }.items():
        np.testing.assert_allclose(part[name], expected, rtol=1e-5, err_msg=name)
    with pytest.raises(MissingSignalError, match="no block 'SE_9_9'"):
        saturation_by_channel(run, blocks=["SE_9_9"])
    with pytest.raises(MissingSignalError, match="holds no 'squeeze'"):
        saturation(run, signal="squeeze")


def test_of_no_image_nothing_is_known(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"SE_2_1": np.ones((3, 4))}, np.zeros(3, int), failed=[0, 1, 2])
    row = saturation(run).loc[0]
    shares = ["near_zero", "near_one", "exactly_zero", "exactly_one", "entropy"]
    assert row[[*shares, "distance_from_identity", "distance_from_constant"]].isna().all()
    assert list(row[["images", "always_off", "always_on", "constant_channels", "flag"]]) == [0, 0, 0, 0, ""]
    channels = saturation_by_channel(run)
    assert channels[["mean", "std", "min", "max"]].isna().all(axis=None)
    assert not channels[["always_off", "always_on", "constant"]].any(axis=None)


def test_one_image_is_constant(tmp_path: Path) -> None:
    row = saturation(make_run(tmp_path / "run", {"SE_2_1": np.full((1, 4), 0.6)}, np.zeros(1, int))).loc[0]
    assert (row["constant_channels"], row["distance_from_constant"], row["flag"]) == (4, 0, "near constant")
    assert np.isnan(row["entropy"])


def test_an_image_may_have_several_classes(tmp_path: Path) -> None:
    x = sigmoid(logits(5))
    members = np.random.default_rng(0).random((len(LABELS), 4)) < 0.5
    row = saturation(make_run(tmp_path / "run", {"SE_2_1": x}, members)).loc[0]
    assert row["images"] == len(LABELS)
    assert row["distance_from_constant"] == pytest.approx(np.sqrt(x.var(0).mean()), rel=1e-5)


def test_gates_outside_of_the_bounds_of_their_function_have_none(tmp_path: Path) -> None:
    x = {"SE_2_1": sigmoid(logits(6)).astype(np.float32), "SE_3_1": sigmoid(logits(6, 1)).astype(np.float32)}
    x["SE_3_1"][100, 2] = 12.5
    table = saturation(make_run(tmp_path / "run", x, LABELS)).set_index("block")
    assert table.loc["SE_2_1", ["near_zero", "near_one", "entropy"]].notna().all()
    assert table.loc["SE_3_1", ["near_zero", "near_one", "entropy"]].isna().all()
    assert table.loc["SE_3_1", "distance_from_identity"] == pytest.approx(
        np.sqrt(np.mean((x["SE_3_1"].astype(float) - 1) ** 2))
    )
    assert table.attrs["remarks"] == [
        "The gates (sigmoid) are not bounded by 0 and 1: near is told only of ends they have."
    ]
