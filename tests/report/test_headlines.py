from typing import Any

import numpy as np
import pandas as pd
import pytest

from seviz.report.headlines import (
    convergence_in_words,
    decoding_in_words,
    most_specific_in_words,
    percent,
    redundancy_in_words,
    saturation_in_words,
    specificity_in_words,
)

NAN = float("nan")


def names(number: int) -> list[str]:
    return [f"SE_{2 + k // 2}_{1 + k % 2}" for k in range(number)]


def specificity(omega: list[float], *, reach: float = 0.01, **columns: Any) -> pd.DataFrame:
    table = pd.DataFrame({"block": names(len(omega)), "omega_squared": omega})
    table = table.assign(low=table["omega_squared"] - reach, high=table["omega_squared"] + reach)
    return table.assign(**{"images": 100, "classes": 10, "std_between": 0.2, **columns})


def decoding(accuracy: list[float], *, reach: float = 0.01, squeeze: list[float] | None = None) -> pd.DataFrame:
    frames = []
    for signal, values in (("excitation", accuracy), ("squeeze", squeeze or [])):
        for width, decoder, less in (("own", "centroid", 0.3), ("own", "logistic", 0.3), ("pca64", "logistic", 0)):
            right = np.array(values) - less  # only those of equal width and the linear decoder are to be told
            frames.append(
                pd.DataFrame(
                    {
                        "block": names(len(values)),
                        "signal": signal,
                        "width": width,
                        "decoder": decoder,
                        "accuracy": right,
                        "low": right - reach,
                        "high": right + reach,
                        "majority": 0.1,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def saturation(flags: list[str], **columns: Any) -> pd.DataFrame:
    table = pd.DataFrame({"block": names(len(flags)), "flag": flags, "channels": 1024, "images": 100})
    distances = {"distance_from_identity": 0.5, "distance_from_constant": 0.2}
    return table.assign(**{"constant_channels": 0, **distances, **columns})


def redundancy(ratios: list[float], channels: list[int], varying: list[int] | None = None) -> pd.DataFrame:
    columns = {"channels": channels, "varying_channels": varying or channels, "participation_ratio": ratios}
    return pd.DataFrame({"block": names(len(ratios)), **columns})


def convergence(wanted: list[float], images: int = 50) -> pd.DataFrame:
    verdicts = ["enough" if w <= images else "not enough" for w in wanted]
    return pd.DataFrame({"block": names(len(wanted)), "images": images, "wanted": wanted, "verdict": verdicts})


def test_specificity_rises() -> None:
    said = specificity_in_words(specificity([0.14, 0.2, 0.47, 0.84]))
    assert said == (
        "The share of the gates' variance that lies between classes rises with depth, from 0.14 at SE_2_1 (95 %"
        " interval 0.13 to 0.15) to 0.84 at SE_3_2 (0.83 to 0.85); rank correlation with depth 1.00. From"
        " class-agnostic towards class-specific: this is the course that the paper describes."
    )


@pytest.mark.parametrize(
    ("table", "expected", "never"),
    [
        (specificity([0.8, 0.5, 0.1]), "falls with depth, from 0.80 at SE_2_1", "rises"),
        (
            specificity([0.3, 0.35, 0.4], reach=0.2),
            "the same in all blocks, 0.30 (SE_2_1) to 0.40 (SE_3_1)",
            "rises",
        ),
        (specificity([0.1, 0.8, 0.1, 0.8, 0.1]), "does not go one way with depth", "rises"),
        (
            specificity([0.001, -0.002, 0.004]),
            "In no block more of the gates' variance lies",
            "rises",
        ),
        (specificity([0.1, 0.8], reach=NAN), "No intervals are known", "95 %"),
        (
            specificity([0.4]),
            "0.40 at SE_2_1 (95 % interval 0.39 to 0.41) lies between classes: the only",
            "depth",
        ),
        (specificity([NAN, NAN], classes=1), "all images are of the same class", "rises"),
        (specificity([0.0, 0.0], classes=1), "all images are of the same class", "about the same"),
        (specificity([0.31, 0.312]), "is about the same in all blocks, 0.31: no course", "rises"),
        (specificity([NAN, NAN], classes=0, images=0), "no image is left", "rises"),
        (specificity([NAN, NAN], classes=2), "no gate varies, or no class has two images", "rises"),
    ],
)
def test_specificity_otherwise(table: pd.DataFrame, expected: str, never: str) -> None:
    said = specificity_in_words(table)
    assert expected in said
    assert never not in said
    assert said.endswith(".")


def test_several_classes_an_image_are_told() -> None:
    said = specificity_in_words(specificity([0.1, 0.3]), several=True)
    assert "lies between a class and all others (mean over classes) rises with depth" in said


@pytest.mark.parametrize("omega", [[0.1, 0.2, 0.5, 0.84], [0.84, 0.1], [0.3], [0.0, 0.0], [NAN]])
def test_untrained_weights_claim_no_class_specificity(omega: list[float]) -> None:
    table = specificity(omega)
    said = specificity_in_words(table, trained=False)
    assert said.startswith("The weights of the SE blocks are untrained, so that their gates learned nothing.")
    for claim in ("rises", "falls", "paper", "towards class-specific"):
        assert claim not in said
    assert most_specific_in_words(table, trained=False) == ""


def test_the_most_class_specific_block() -> None:
    said = most_specific_in_words(specificity([0.1, 0.84, 0.83, 0.5], std_between=[0.1, 0.214, 0.3, 0.1]))
    assert said == (
        "The most class-specific block is SE_2_2, with 0.84 (95 % interval 0.83 to 0.85); its gates differ between"
        " classes by a standard deviation of 0.21. About as class-specific, since intervals overlap: SE_3_1."
    )
    little = most_specific_in_words(specificity([0.1, 0.84], std_between=[0.1, 0.0021]))
    assert "but its gates differ little between classes, by a standard deviation of 0.0021" in little
    assert most_specific_in_words(specificity([0.1, 0.84], reach=NAN)).startswith(
        "The most class-specific block is SE_2_2, with 0.84; its gates"
    )


@pytest.mark.parametrize("table", [specificity([NAN]), specificity([0.3, 0.31]), specificity([-0.05, 0], reach=0)])
def test_no_most_class_specific_block_where_none_stands_out(table: pd.DataFrame) -> None:
    assert most_specific_in_words(table) == ""


def test_saturation() -> None:
    assert saturation_in_words(saturation([""] * 4)) == "No block is near the identity, near constant or saturated."
    said = saturation_in_words(
        saturation(
            ["", "near identity", "near constant", "near constant", "saturated"],
            distance_from_identity=[0.5, 0.0812, 0.5, 0.5, 0.5],
            distance_from_constant=[0.2, 0.2, 0.004, 0.011, 0.2],
            constant_channels=[0, 0, 1024, 3, 0],
        )
    )
    assert said == (
        "SE_2_2 is near the identity, as the paper finds of SE_5_2 in its own network: from 1 the gates are 0.081 away"
        " (root mean square). SE_3_1 and SE_3_2 are near constant, the same for whatever image: from their channel's"
        " mean the gates are 0.004 to 0.011 away (root mean square). SE_4_1 is saturated: most gates are below 0.05 or"
        " above 0.95, though they still differ between images. 1,027 of all 5,120 channels have the same gate for every"
        " image."
    )
    assert saturation_in_words(saturation(["near constant"] * 3)).startswith("All 3 blocks are near constant")
    assert saturation_in_words(saturation(["near constant"] * 6 + [""])).startswith("6 of 7 blocks are near constant")
    assert "no image is left" in saturation_in_words(saturation([""], images=0))


def test_decoding() -> None:
    said = decoding_in_words(decoding([0.35, 0.5, 0.95, 0.92], squeeze=[0.5, 0.6, 0.9, 0.93]), top1=0.929)
    assert said == (
        "From the gates of a single block the class is read off right for 35.0 % (SE_2_1, the first) to 92.0 % (SE_3_2,"
        " the last), at best 95.0 % (SE_3_1) of the images (a guess would be right for 10.0 %, the network itself is"
        " for 92.9 %; each block by equally many components). It rises with depth. The squeeze that the gates of SE_3_2"
        " are computed from tells it for 93.0 %."
    )


@pytest.mark.parametrize(
    ("accuracy", "reach", "expected"),
    [
        ([0.9, 0.4], 0.01, "It falls with depth."),
        ([0.5, 0.51], 0.02, "That is about the same in all blocks."),
        ([0.5, 0.9, 0.5], 0.02, "It does not go one way with depth."),
        ([0.08, 0.11], 0.03, "is not read off better than by a guess: at most for 11.0 % (SE_2_2)"),
        ([NAN, NAN], NAN, "cannot be told: fewer than two classes have images enough"),
        ([0.5, 0.5001], 0.02, "is read off right for 50.0 % of the images"),
        ([0.5], 0.01, "for 50.0 % (SE_2_1) of the images (a guess would be right for 10.0 %;"),
    ],
)
def test_decoding_otherwise(accuracy: list[float], reach: float, expected: str) -> None:
    said = decoding_in_words(decoding(accuracy, reach=reach))
    assert expected in said
    assert "rises" not in said


def test_decoding_of_untrained_weights_claims_nothing_learned() -> None:
    said = decoding_in_words(decoding([0.2, 0.4, 0.6]), trained=False)
    assert "nothing of it was learned" in said
    assert "rises" not in said


def test_redundancy() -> None:
    said = redundancy_in_words(redundancy([3.1, 12.2, 40.0], [64, 2048, 256]))
    assert said == (
        "The gates of a block move together: the 2,048 of SE_2_2 are worth about 12 independent ones, the fewest for"
        " its width, and the 256 of SE_3_1 are worth about 40 independent ones, the most (participation ratio of their"
        " correlations)."
    )
    one = redundancy_in_words(redundancy([3.1, NAN], [64, 64]))
    assert one == "The gates move together: the 64 of SE_2_1 are worth about 3.1 independent ones."
    loose = redundancy_in_words(redundancy([3.9, 3.7], [4, 4]))
    assert loose.startswith("The gates of a block hardly move together: the 4 of SE_2_2 are worth about 3.7")
    assert redundancy_in_words(redundancy([0.0], [64], [0])) == "No gate varies, so that none moves with another."
    assert "too few images" in redundancy_in_words(redundancy([NAN], [64]))


def test_convergence() -> None:
    assert convergence_in_words(convergence([20, 45, 30])) == (
        "There are enough images: with 50 images of a class (the median), the order of channels and the figures of all"
        " blocks are stable; SE_2_2 wants the most, 45."
    )
    assert convergence_in_words(convergence([20, 450, np.inf])) == (
        "There are too few images: with 50 images of a class (the median), SE_2_2 and SE_3_1 are not stable, the other"
        " one is; about 450 of each class would do for most; for SE_3_1 no number can be told, since samples agree"
        " as by chance."
    )
    assert "SE_2_1 is not stable, the other 2 are; about" in convergence_in_words(convergence([80, 10, 10]))
    assert convergence_in_words(convergence([80.0])).endswith("SE_2_1 is not stable; about 80 of each class would do.")
    assert convergence_in_words(convergence([np.inf, np.inf])).endswith(
        "both blocks are not stable; how many would do cannot be told, since samples agree as by chance."
    )
    assert "cannot be told, with 1 image of a class" in convergence_in_words(convergence([NAN, NAN], images=1))
    still = convergence([NAN]).assign(verdict="nothing varies")
    assert convergence_in_words(still) == "How many images are needed cannot be told: gates do not vary."


def test_blocks_of_which_nothing_is_known_are_named() -> None:
    said = specificity_in_words(specificity([0.14, NAN, 0.47, 0.84]))
    assert said.endswith("Of SE_2_2 nothing is known, where gates do not vary or are not finite.")
    alone = specificity_in_words(specificity([NAN, 0.4]))
    assert "lies between classes: the only block of which it is known." in alone
    judged = convergence([20, NAN, np.nan]).assign(verdict=["enough", "not known", "as by chance"])
    assert "about" not in convergence_in_words(judged)
    assert convergence_in_words(judged).endswith("since samples agree as by chance. It is not known of SE_2_2.")
    enough = convergence([20, NAN, NAN]).assign(verdict=["enough", "not known", "nothing varies"])
    assert "the figures of 1 of 3 blocks are stable" in convergence_in_words(enough)
    assert convergence_in_words(convergence([NAN]).assign(verdict="not known")) == (
        "How many images are needed cannot be told: gates of some images are not finite."
    )


def test_saturation_of_gates_that_are_not_finite_is_not_claimed() -> None:
    table = saturation(["", ""]).assign(distance_from_constant=[NAN, 0.2])
    assert saturation_in_words(table) == (
        "No block of which it is known is near the identity, near constant or saturated. Of SE_2_1 it cannot be told:"
        " gates of some images are not finite."
    )
    assert saturation_in_words(table.assign(distance_from_constant=NAN)) == (
        "Whether gates are saturated cannot be told: gates of some images are not finite."
    )


def test_per_cent() -> None:
    assert [percent(share) for share in (0.0, 0.0512, 0.929, 1.0)] == ["0.0 %", "5.1 %", "92.9 %", "100.0 %"]
