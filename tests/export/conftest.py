"""Bundles of random models below fp32, which the tests of precisions and of passes share."""

from dataclasses import dataclass

import pytest
from support import usual

from bskim_export.bundle.bundle import Bundle
from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.data.question import sample
from bskim_export.export.int8.recipe import Int8Calibration
from bskim_export.export.parity import UNJUDGED

HALF = (("bert", "bf16", "diagonal"), ("albert", "fp16", "diagonal"), ("roberta", "fp16", "question"))
INT8 = (("bert", "int8", "diagonal"), ("albert", "int8", "question"))


@dataclass(frozen=True)
class Lowered:
    """A random model in a precision below fp32.

    model: family, layers and kind of predictor, as `tiny` and `tiny_bundle` take them
    checkpoint: in fp32
    """

    model: tuple[str, tuple[int, ...], str]
    precision: str
    checkpoint: Checkpoint
    bundle: Bundle


def lower(request, tiny, squad, exported) -> Lowered:
    """Export the model that a fixture's parameter names."""
    family, precision, predictor = request.param
    model = (family, (0, 1, 2), predictor)
    out = exported(
        f"{family}-{predictor}-{precision}",
        tiny(*model),
        precision=precision,
        limits=UNJUDGED,
        int8_calibration=Int8Calibration(sample(squad, 10, seed=1)),
        questions=sample(squad, 2),
    )
    return Lowered(model, precision, tiny(*model), Bundle.open(out))


@pytest.fixture(scope="session", params=usual(HALF, ["albert", "bert"]))
def half(request, tiny, squad, exported) -> Lowered:
    """A random model in half precision."""
    return lower(request, tiny, squad, exported)


@pytest.fixture(scope="session", params=usual(INT8, ["albert"]))
def int8(request, tiny, squad, exported) -> Lowered:
    """A random model in INT8."""
    return lower(request, tiny, squad, exported)
