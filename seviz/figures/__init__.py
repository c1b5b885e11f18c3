"""A table in, a matplotlib Figure out. No torch and no computing here."""
