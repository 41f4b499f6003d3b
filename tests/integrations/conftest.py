"""What the tests of the integrations share. No framework sends its telemetry from here."""

import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"  # read when Haystack is imported
os.environ["LANGSMITH_TRACING"] = "false"

import pytest

from bskim_export import QAPipeline

QUESTION = "Who wrote the first program?"
TEXTS = [
    "The river is long. It rises in the hills.",
    "",
    "Ada Lovelace wrote the first program in 1843. " + "Bread is baked in the morning, and sold before noon. " * 8,
]


@pytest.fixture(scope="session")
def question() -> str:
    """A question."""
    return QUESTION


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """What a retriever found for it; the second has no text."""
    return TEXTS


@pytest.fixture(scope="session")
def qa(minilm_bundle) -> QAPipeline:
    """A pipeline that judges passages."""
    return QAPipeline(minilm_bundle, threshold=0.001)
