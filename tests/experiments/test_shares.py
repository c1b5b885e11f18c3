import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from seviz.experiments.shares import difference_interval, share_interval


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_a_share_as_scipy_and_statsmodels_have_it(confidence: float) -> None:
    for count, images in ((0, 10), (3, 10), (10, 10), (88, 1000), (1, 1)):
        low, high = share_interval(count, images, confidence=confidence)
        expected = stats.binomtest(count, images).proportion_ci(confidence, method="wilson")
        np.testing.assert_allclose((low, high), (expected.low, expected.high), atol=1e-12)
        other = proportion_confint(count, images, alpha=1 - confidence, method="wilson")
        np.testing.assert_allclose((low, high), other, atol=1e-12)
    np.testing.assert_array_equal(share_interval([0, 2], [0, 2])[0][:1], [np.nan])


def test_a_difference_as_published() -> None:
    """Counts, lower and upper end: twice Newcombe (1998); Fagerland, Lydersen, Laake, doi:10.1002/sim.6148."""
    for counts, low, high in (
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((53, 0, 1, 0), -0.0977, 0.0500),
        ((1, 1, 7, 12), -0.507, -0.026),
    ):
        np.testing.assert_allclose(difference_interval(*counts), (low, high), atol=5e-4)


def test_a_difference_has_a_width_and_turns_with_its_sign() -> None:
    low, high = difference_interval(90, 0, 0, 10)
    assert -0.06 < low < 0 < high < 0.06
    low, high = difference_interval([30, 5], [12, 0], [3, 0], [55, 5])
    turned = difference_interval([30, 5], [3, 0], [12, 0], [55, 5])
    np.testing.assert_allclose((low, high), (-turned[1], -turned[0]))
    assert np.isnan(difference_interval(0, 0, 0, 0)).all()
    assert [float(end) for end in difference_interval(0, 50, 0, 0)] == pytest.approx([0.9, 1], abs=0.05)


@pytest.mark.parametrize("chances", [(0.7, 0.1, 0.05, 0.15), (0.3, 0.55, 0.05, 0.1), (0.9, 0.01, 0.01, 0.08)])
def test_a_difference_is_covered_as_often_as_promised(chances: tuple[float, ...]) -> None:
    drawn = np.random.default_rng(0).multinomial(200, chances, 4000)
    low, high = difference_interval(*drawn.T)
    true = chances[1] - chances[2]
    assert 0.93 <= ((low <= true) & (true <= high)).mean() <= 0.997  # wide where few images change
