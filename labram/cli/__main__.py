"""`python -m labram.cli`: the `labram` command."""

from labram.cli import main

main()
