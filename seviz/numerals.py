"""Numbers as people read them, in reports, figures and terminals: whatever the number, no more than 14 characters."""

import math

MOST = 1e9
"""From here on numbers are written with a power of ten."""


def decimals(value: float, digits: int = 2) -> str:
    """With so many decimals, at most 4; nought has no sign, and what is not known is a dash.

    Parameters
    ----------
    value
        Any number, also infinite or NaN.
    digits
        Decimals, of numbers below a thousand million.
    """
    return _odd(value) or f"{round(value, digits) + 0.0:.{digits}f}"


def count(value: float) -> str:
    """A whole number, with commas between thousands; as `decimals` where it is not known or very large."""
    return _odd(value) or f"{value:,.0f}"


def significant(value: float) -> str:
    """Three digits that count, and all before the point; as `decimals` where it is not known or very large."""
    return _odd(value) or (f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}")


def percent(share: float) -> str:
    """A share as per cent, with one decimal."""
    return f"{decimals(100 * share, 1)} %"


def _odd(value: float) -> str:
    """Numbers that are written the same in every form; else empty."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.2e}" if abs(value) >= MOST else ""
