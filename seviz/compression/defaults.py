"""What a masking curve compares where nothing else is said."""

CRITERIA = (
    *("gate_mean", "gate_variance", "gate_between", "random", "l1", "l2", "bn_gamma", "taylor"),
    *("activation_mean", "apoz"),
)
FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
