"""Tables from a run. No torch here."""
