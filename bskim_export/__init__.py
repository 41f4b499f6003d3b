"""Export Block-Skim question-answering transformers and run them without PyTorch.

    from bskim_export import QAPipeline
    qa = QAPipeline("engines/")
    qa(question="Who wrote it?", context="It was written by Ada Lovelace.")

Names are resolved on first use, so that `import bskim_export` costs nothing and the runtime never imports torch.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "QAPipeline": "bskim_export.runtime.pipeline",
    "BlockSkimForQuestionAnswering": "bskim_export.model.qa",
    "SkimConfig": "bskim_export.model.skim_config",
    "load_checkpoint": "bskim_export.checkpoint.loading",
    "save_checkpoint": "bskim_export.checkpoint.loading",
    "export_bundle": "bskim_export.export.exporter",
    "BskimError": "bskim_export.errors",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
