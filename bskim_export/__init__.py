"""Export Block-Skim question-answering transformers and run them without PyTorch.

    from bskim_export import QAPipeline
    qa = QAPipeline("engines/")
    qa(question="Who wrote it?", context="It was written by Ada Lovelace.")

Names are resolved on first use, so that `import bskim_export` costs nothing and the runtime never imports torch.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bskim_export.backends.catalogue import open_backend as open_backend
    from bskim_export.bundle.bundle import Bundle as Bundle
    from bskim_export.checkpoint.loading import load_checkpoint as load_checkpoint
    from bskim_export.checkpoint.loading import save_checkpoint as save_checkpoint
    from bskim_export.data.readers import read_questions as read_questions
    from bskim_export.errors import BskimError as BskimError
    from bskim_export.errors import InputError as InputError
    from bskim_export.export.exporter import export_bundle as export_bundle
    from bskim_export.model.qa import BlockSkimForQuestionAnswering as BlockSkimForQuestionAnswering
    from bskim_export.model.skim_config import SkimConfig as SkimConfig
    from bskim_export.runtime.options import RunOptions as RunOptions
    from bskim_export.runtime.pipeline import QAPipeline as QAPipeline

__version__ = "0.2.0"

# ONNX Runtime reads this when it is imported, and never again. Set it to 0 beforehand to let it send its telemetry.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "BlockSkimForQuestionAnswering": "bskim_export.model.qa",
    "BskimError": "bskim_export.errors",
    "Bundle": "bskim_export.bundle.bundle",
    "InputError": "bskim_export.errors",
    "QAPipeline": "bskim_export.runtime.pipeline",
    "RunOptions": "bskim_export.runtime.options",
    "SkimConfig": "bskim_export.model.skim_config",
    "export_bundle": "bskim_export.export.exporter",
    "load_checkpoint": "bskim_export.checkpoint.loading",
    "open_backend": "bskim_export.backends.catalogue",
    "read_questions": "bskim_export.data.readers",
    "save_checkpoint": "bskim_export.checkpoint.loading",
}

__all__ = [
    "BlockSkimForQuestionAnswering",
    "BskimError",
    "Bundle",
    "InputError",
    "QAPipeline",
    "RunOptions",
    "SkimConfig",
    "__version__",
    "export_bundle",
    "load_checkpoint",
    "open_backend",
    "read_questions",
    "save_checkpoint",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
