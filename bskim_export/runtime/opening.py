"""What a pipeline opens: the backend that runs its graphs, their runner, thresholds and tokenizer."""

import logging

from tokenizers import Tokenizer

from bskim_export.backends.base import Backend
from bskim_export.backends.catalogue import open_backend
from bskim_export.backends.choose import choose_backend, measured_way
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.checks import TOKENIZER
from bskim_export.bundle.integrity import RECOPY
from bskim_export.errors import BundleError, InputError, is_fault
from bskim_export.runtime.orchestrator import Orchestrator
from bskim_export.runtime.policy import Thresholds
from bskim_export.runtime.single import SingleRunner

log = logging.getLogger("bskim_export")


def find_backend(
    bundle: Bundle, backend: str | Backend | None, threads: int | None, precision: str
) -> tuple[Backend, str]:
    """Return the backend that runs a bundle, and why it is that one.

    Args:
        backend: a name, an open one, or None for the one that the bundle is best run by
        threads: for one operator; None for the cores that this process may use
        precision: the one that a backend of that name computes in, where it has several

    Raises:
        InputError: there is no such backend, or it has no such precision.
    """
    if isinstance(backend, str):
        return open_backend(backend, threads, precision), "it was asked for"
    if backend is not None:
        return backend, "it was asked for"
    if precision != "fp32":
        raise InputError(f"Name the backend that computes in {precision}, as in backend='openvino'.")
    chosen, why = choose_backend(bundle.manifest, threads)
    log.info("%s runs '%s': %s.", chosen.name, bundle.folder, why)
    return chosen, why


def make_runner(bundle: Bundle, backend: Backend) -> SingleRunner | Orchestrator:
    """Return what runs a bundle's windows: its graphs of one window where there are some and the backend compiles them,
    else those of batches, stage by stage."""
    if bundle.manifest.graphs_alone and backend.runs_single:
        return SingleRunner(bundle, backend)
    return Orchestrator(bundle, backend)


def make_policy(bundle: Bundle, backend: Backend, threshold: float | None) -> Thresholds:
    """Return which blocks stay: by one threshold for all layers, or by the bundle's own.

    Of the bundle's own, those are 0 whose predictors were measured to cost more time on this backend than they save.

    Args:
        threshold: 0 to 1; None for the bundle's own
    """
    if threshold is not None:
        return Thresholds(dict.fromkeys(bundle.skim_layers, threshold))
    own = Thresholds(bundle.thresholds, bundle.document_thresholds)
    way = measured_way(bundle.manifest, backend)
    return own if way is None else own.only(way.skim_layers, way.document_skim_layers)


def read_tokenizer(bundle: Bundle) -> Tokenizer:
    """Return the tokenizer of a bundle. Raises BundleError if it is none."""
    try:
        return Tokenizer.from_str(bundle.read(TOKENIZER).decode("utf-8"))
    except BundleError:
        raise
    except BaseException as error:  # tokenizers raises plain Exception, and panics
        if not is_fault(error):
            raise
        raise BundleError(f"'{bundle.tokenizer}' is not a tokenizer: {error}. {RECOPY}") from None
