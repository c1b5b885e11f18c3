"""The commands, one a file: its docstring is the help, its function `command` does it."""
