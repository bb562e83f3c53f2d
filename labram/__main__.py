"""`python -m labram`: the command line."""

from labram.cli import main

if __name__ == "__main__":
    main()
