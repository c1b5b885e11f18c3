"""The maths: pure functions on arrays."""
