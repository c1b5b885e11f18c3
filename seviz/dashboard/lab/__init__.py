"""The compression lab: what can be asked for, what came of it, and how that is shown."""
