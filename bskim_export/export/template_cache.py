"""Exported graphs, kept: a model is traced once, whatever the precisions it is exported in and whoever exports it.

Tracing is nearly all of the time of an export. A graph depends on a module's structure, not on the values of its
parameters, which `GraphTemplate.write` fills in. Templates are kept while the process lives, and in the user's cache.
"""

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from io import BytesIO

from torch import Tensor, nn

from bskim_export.export.onnx_graph import GraphTemplate, Input, as_array, export_template
from bskim_export.export.template_file import decode, encode, read_template, write_template

KEPT_TEMPLATES = 64
"""A template without weights takes 0.1 to 2 MB."""

_templates: OrderedDict[bytes, GraphTemplate] = OrderedDict()


def cached_template(module: nn.Module, inputs: Mapping[str, Input], outputs: tuple[str, ...]) -> GraphTemplate:
    """Return what `export_template` returns, from an earlier call for a module of the same structure if there was one.

    The caller may change the template: it is a copy. Least recently used templates are forgotten first.
    """
    key = structure_of(module, inputs, outputs)
    if key is None:
        return export_template(module, inputs, outputs)
    if key not in _templates:
        template = read_template(key)
        if template is None:
            # As a file gives it, so that a bundle is the same to the byte whether its graphs were traced or read.
            content = encode(export_template(module, inputs, outputs))
            write_template(key, content)
            template = decode(content)
        _templates[key] = template
    _templates.move_to_end(key)
    while len(_templates) > KEPT_TEMPLATES:
        _templates.popitem(last=False)
    return _templates[key].clone()


def forget_templates() -> None:
    """Forget the templates of this process. The user's cache keeps its own."""
    _templates.clear()


def structure_of(module: nn.Module, inputs: Mapping[str, Input], outputs: tuple[str, ...]) -> bytes | None:
    """Return a hash of all that an export depends on, or None if the module holds something that cannot be hashed.

    That is the module's classes and attributes, which of its parameters are the same, their shapes and types, and the
    values of its buffers; but not the values of parameters.

    Example:
        >>> one, other = nn.Linear(2, 2), nn.Linear(2, 2)
        >>> structure_of(one, {}, ("y",)) == structure_of(other, {}, ("y",))
        True
        >>> structure_of(one, {}, ("y",)) == structure_of(nn.Linear(2, 2, bias=False), {}, ("y",))
        False
    """
    shapes = {
        name: (tuple(i.example.shape), str(i.example.dtype), {axis: str(dim) for axis, dim in i.axes.items()})
        for name, i in inputs.items()
    }
    content = BytesIO()
    try:
        _StructurePickler(content).dump((module, shapes, outputs))
    except (pickle.PicklingError, AttributeError, TypeError):  # a lambda, a lock, ...: pickle has no one error for it
        return None
    return hashlib.sha256(content.getvalue()).digest()


class _StructurePickler(pickle.Pickler):
    """Pickles a parameter as its number, shape and type, and any other tensor with its values."""

    def __init__(self, content: BytesIO):
        super().__init__(content, protocol=4)
        self._numbers: dict[int, int] = {}

    def persistent_id(self, value: object) -> object:
        """Return what stands for a tensor; None for everything else, which is pickled as usual."""
        if not isinstance(value, Tensor):
            return None
        kind = (tuple(value.shape), str(value.dtype))
        if isinstance(value, nn.Parameter):
            return (self._numbers.setdefault(id(value), len(self._numbers)), *kind)
        return (
            as_array(value).tobytes(),
            *kind,
        )  # torch pickles tensors with a key of their storage, never twice the same
