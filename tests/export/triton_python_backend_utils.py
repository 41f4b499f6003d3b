"""What Triton's Python backend gives its models, as its README documents it, and nothing more. A test double.

The names and signatures are those of triton-inference-server/python_backend, src/pb_stub.cc.
"""

import numpy as np


class Tensor:
    """A named tensor. Strings are bytes in an array of objects."""

    def __init__(self, name: str, numpy_array: np.ndarray):
        if not isinstance(numpy_array, np.ndarray):
            raise TypeError("a tensor is made of an array")
        self._name, self._array = name, numpy_array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array


class InferenceRequest:
    """A request, whose tensors have the batch as their first axis."""

    def __init__(self, *, inputs: list[Tensor], requested_output_names: list[str], model_name: str):
        self._inputs = inputs
        self._wanted, self._model_name = requested_output_names, model_name

    def inputs(self) -> list[Tensor]:
        return self._inputs

    def requested_output_names(self) -> list[str]:
        return self._wanted

    def model_name(self) -> str:
        return self._model_name


class TritonError:
    """Why a request has no answer."""

    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)

    def __init__(self, message: str, code: int = INTERNAL):
        self._message, self._code = message, code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code


class InferenceResponse:
    """The answer to a request: tensors, or an error."""

    def __init__(self, output_tensors: list[Tensor] = (), error: TritonError | None = None):
        self._tensors, self._error = list(output_tensors), error

    def output_tensors(self) -> list[Tensor]:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


def get_input_tensor_by_name(inference_request: InferenceRequest, name: str) -> Tensor | None:
    return next((one for one in inference_request.inputs() if one.name() == name), None)


def get_output_tensor_by_name(inference_response: InferenceResponse, name: str) -> Tensor | None:
    return next((one for one in inference_response.output_tensors() if one.name() == name), None)
