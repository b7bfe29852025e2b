"""`python -m gateway.cli` is the `schoolgate` command."""

from gateway.cli import main

main()
