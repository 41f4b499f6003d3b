"""A bundle as a model of Triton's Python backend. Written by bskim-export --triton, which replaces it."""

from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from bskim_export import InputError, QAPipeline


class TritonPythonModel:
    """Answers the questions of all requests of a batch in one call, so that their windows run side by side."""

    def initialize(self, args):
        """Open the bundle, and run it once so that the first requests do not wait for that."""
        self.qa = QAPipeline(Path(args["model_repository"]) / args["model_version"] / "engines")
        self.qa.warm_up()

    def execute(self, requests):
        """Return a response to every request: answers, or the error of its first question that cannot be used."""
        asked = [_read(request) for request in requests]
        questions = [one for own in asked if isinstance(own, list) for one in own]
        answers = iter(self.qa.run(data=questions, on_error="return", progress=False) if questions else [])
        return [
            _refuse(own) if isinstance(own, InputError) else _respond([next(answers) for _ in own]) for own in asked
        ]

    def finalize(self):
        """Let go of the engines."""
        self.qa.close()


def _read(request):
    """Return the questions of a request, or the InputError that says why it has none."""
    columns = {}
    for name in ("question", "context"):
        raw = pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)
        try:
            columns[name] = [text.decode("utf-8") for text in raw]
        except UnicodeDecodeError as error:
            return InputError(f"`{name}` is not UTF-8: {error}")
    return [{"question": q, "context": c} for q, c in zip(*columns.values(), strict=True)]


def _respond(answers):
    """Return a response with the answers of one request, of shape [n, 1], or with its first error."""
    for number, answer in enumerate(answers):
        if isinstance(answer, InputError):
            return _refuse(f"Question {number}: {answer}" if len(answers) > 1 else answer)
    columns = {
        "answer": np.array([answer["answer"].encode("utf-8") for answer in answers], np.object_),
        "score": np.array([answer["score"] for answer in answers], np.float32),
        "start": np.array([answer["start"] for answer in answers], np.int64),
        "end": np.array([answer["end"] for answer in answers], np.int64),
    }
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, column[:, None]) for name, column in columns.items()])


def _refuse(error):
    return pb_utils.InferenceResponse([], pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
