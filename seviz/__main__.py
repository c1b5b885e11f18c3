"""`python -m seviz`."""

from seviz.cli import main

main()
