"""Launcher for a checkout: `python cli.py export MODEL --out engines/`, `python cli.py calibrate`, and so on."""

from bskim_export.commands import main

if __name__ == "__main__":
    main()
