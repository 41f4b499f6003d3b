"""`python -m bskim_export.commands export ...`: the commands without their launchers."""

from bskim_export.commands import main

main()
