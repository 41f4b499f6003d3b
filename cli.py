"""Launcher for a checkout: `python cli.py export MODEL --out engines/`, `python cli.py bench`, `python cli.py ask`."""

from bskim_export.commands import main

if __name__ == "__main__":
    main()
