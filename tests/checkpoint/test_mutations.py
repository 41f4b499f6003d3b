"""The short form of tests/attack/checkpoints.py."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "attack" / "checkpoints.py"


def test_spoiled_checkpoints_answer_like_transformers_or_are_refused():
    """In a process of its own, because the script forks."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--count", "40", "--seed", "1"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of 40 failed" in done.stdout
