"""A split model in PyTorch in the place of a bundle's engines: its lower layers, and its upper ones as in training."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from bskim_export.bundle.manifest import Model
from bskim_export.errors import InputError
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.model.retrieval import RetrievalPredictor
from bskim_export.model.split import ask, prepare, read
from bskim_export.runtime.policy import Policy
from bskim_export.runtime.prepared.lower import Floats, Question, pad_rows
from bskim_export.runtime.prepared.passages import first_token
from bskim_export.runtime.windows import Window
from bskim_export.training.dense_runner import JudgedResult, judged_results


class TorchLower:
    """The lower layers of a model in PyTorch, each sequence alone: a `Lower`.

    Args:
        model: split, in fp32, on any device, in evaluation mode
        description: the same model, as the runtime knows it
    """

    def __init__(self, model: BlockSkimForQuestionAnswering, description: Model):
        self._model = model
        self._pad = description.pad_token_id
        self._first = first_token(description)
        assert isinstance(model.retrieval, RetrievalPredictor)
        self._retrieval = model.retrieval

    @torch.no_grad()
    def prepare(self, sections: Sequence[npt.NDArray[np.int64]]) -> list[tuple[Floats, Floats]]:
        """Return states and features of each section; see `Lower.prepare`."""
        found = []
        size = self._model.skim.block_size
        for section in sections:
            ids, mask = self._padded(section)
            first = torch.full_like(ids[:, :1], self._first)
            real = torch.cat([torch.ones_like(first), mask.long()], 1)
            states, sought = prepare(self._model, torch.cat([first, ids], 1), real)
            blocks, sought = (one[0].unflatten(0, (-1, size)) for one in (states, sought))
            features = self._retrieval.features(sought, mask[0].unflatten(0, (-1, size)))
            found.append((blocks.cpu().numpy(), features.cpu().numpy()))
        return found

    @torch.no_grad()
    def ask(self, questions: Sequence[npt.NDArray[np.int64]]) -> list[Question]:
        """Return what is known of each question; see `Lower.ask`."""
        found = []
        size = self._model.skim.block_size
        for own in questions:
            ids, mask = self._padded(own)
            states, wanted = ask(self._model, ids, mask.long())
            queries = self._retrieval.queries(wanted, mask)[0, : len(own)]
            found.append(Question(own, states[0].unflatten(0, (-1, size)).cpu().numpy(), queries.cpu().numpy()))
        return found

    def _padded(self, ids: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids padded to whole blocks, and which are tokens, [1, S] both, on the model's device."""
        device = self._retrieval.scale.device
        padded, mask = pad_rows([ids], self._pad, self._model.skim.block_size)
        return torch.from_numpy(padded).to(device), torch.from_numpy(mask).to(device)


class SplitRunner:
    """The upper layers of a split model as a `Runner` that drops nothing.

    Args:
        model: split, on any device, in evaluation mode
        description: its shapes and special positions
    """

    alone = False

    def __init__(self, model: BlockSkimForQuestionAnswering, description: Model):
        self.model = description
        self.skim_layers = model.skim.layers
        self._network = model

    @torch.no_grad()
    def run(
        self, windows: Sequence[Window], policy: Policy | None, protected: Sequence[int | None] | None = None
    ) -> list[JudgedResult]:
        """Run a batch of windows, padded to the longest; see `Runner.run`. Every block stays, so `protected` changes
        nothing.

        Raises:
            InputError: there is a policy, or a window without states.
        """
        if policy is not None:
            raise InputError("A model in training runs all blocks: it takes no policy.")
        shape = (len(windows), max(len(window.input_ids) for window in windows))
        hidden = np.zeros((*shape, self.model.hidden_size), np.float32)
        real, question = np.zeros(shape, bool), np.zeros(shape, bool)
        for row, window in enumerate(windows):
            if window.states is None:
                raise InputError("The upper layers of a split model read the states of prepared passages.")
            hidden[row, : len(window.input_ids)] = window.states.reshape(-1, self.model.hidden_size)
            real[row, : len(window.input_ids)] = window.is_token
            question[row, : window.question_length] = True
        device = next(self._network.parameters()).device
        out, _ = read(self._network, *(torch.from_numpy(array).to(device) for array in (hidden, real, question)))
        return judged_results(out, windows, self.model.block_size)
