import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from bskim_export.blocks import MASKED, build_grid, question_cells
from bskim_export.model.families.base import LayerShape
from bskim_export.model.predictors.base import BlockView
from bskim_export.model.predictors.question import QuestionPredictor

SHAPE, SIZE = LayerShape(4, 8, 24), 8


def views(lengths: list[tuple[int, int]], seed: int = 0) -> list[BlockView]:
    """Return one random window each: question tokens, all tokens."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for asked, length in lengths:
        blocks = -(-length // SIZE)
        position = torch.arange(blocks * SIZE).reshape(1, blocks, SIZE)
        context, residual = (
            torch.randn(1, blocks, SIZE, width, generator=generator)
            for width in (SHAPE.context_size, SHAPE.hidden_size)
        )
        made.append(BlockView(position < asked, position < length, context=context, residual=residual))
    return made


def pack(windows: list[BlockView]) -> dict[str, torch.Tensor]:
    """Return what the runtime gives the exported form."""
    owner = np.repeat(np.arange(len(windows)), [w.real.shape[1] for w in windows])
    real = torch.cat([w.real[0] for w in windows]).numpy()
    question = torch.cat([w.question[0] for w in windows]).numpy()
    block_mask = np.where(real, np.float32(0), MASKED)
    grid = build_grid(owner, block_mask)
    cells = question_cells(owner, grid, block_mask, question)
    context = torch.full((grid.table.size, SIZE, SHAPE.context_size), 7.0)  # what empty cells hold must not matter
    context[torch.from_numpy(grid.back)] = torch.cat([w.context[0] for w in windows])
    return {
        "context": context,
        "residual": torch.cat([w.residual[0] for w in windows]),
        "table": torch.from_numpy(grid.table),
        **{name: torch.from_numpy(array) for name, array in cells.items()},
        "scored": torch.from_numpy(grid.back[~question.any(1)]),
    }


lengths = st.tuples(st.integers(1, 20), st.integers(1, 40)).map(lambda t: (t[0], sum(t)))


@settings(max_examples=60, deadline=None)
@given(st.lists(lengths, min_size=1, max_size=5), st.integers(0, 9))
def test_the_exported_form_gives_the_keep_probability_of_the_trained_form_in_any_batch(shapes, seed):
    torch.manual_seed(seed)
    predictor, windows = QuestionPredictor(SHAPE, SIZE).eval(), views(shapes, seed)
    with torch.no_grad():
        alone = [predictor(w).softmax(-1)[..., 1][w.passage] for w in windows]
        found = predictor.export_form()(**pack(windows))
    torch.testing.assert_close(found, torch.cat(alone), rtol=0, atol=2e-6)


def test_a_padded_batch_gives_what_each_window_gives_alone():
    torch.manual_seed(0)
    predictor, windows = QuestionPredictor(SHAPE, SIZE).eval(), views([(5, 30), (11, 64), (3, 9)])
    width = max(w.real.shape[1] for w in windows)

    def stack(name):
        grown = []
        for window in windows:
            value = getattr(window, name)
            filler = torch.zeros if value.dtype == torch.bool else torch.randn
            padding = filler(1, width - value.shape[1], *value.shape[2:])
            grown.append(torch.cat([value, padding.to(value.dtype)], 1))
        return torch.cat(grown)

    batch = BlockView(**{name: stack(name) for name in ("question", "real", "context", "residual")})
    with torch.no_grad():
        together = predictor(batch)
        for i, window in enumerate(windows):
            mine = together[i, : window.real.shape[1]][window.passage[0]]
            torch.testing.assert_close(mine, predictor(window)[window.passage], rtol=0, atol=1e-5)


def test_a_block_that_repeats_the_question_stands_out():
    """Before any training, the cosines of equal tokens are 1: the matching features must show it."""
    torch.manual_seed(0)
    predictor, (window,) = QuestionPredictor(SHAPE, SIZE).eval(), views([(8, 40)])
    window.context[0, 3], window.residual[0, 3] = window.context[0, 0], window.residual[0, 0]
    features = predictor.context(window.context) + predictor.residual(window.residual)
    passage, asked = (window.real & ~window.question).float().flatten(1), features[:, :1].flatten(1, 2)
    found = predictor.match(features, passage, asked, window.question[:, :1].float().flatten(1))[0, :, :2]
    torch.testing.assert_close(found[3], torch.full((2,), 8.0))
    assert (found[[1, 2, 4]] < 7.9).all()


def test_macs_are_close_to_half_the_flops_that_torch_counts():
    predictor, (window,) = QuestionPredictor(LayerShape(12, 32, 384), SIZE).eval(), views([(8, 16)])
    context, residual = torch.rand(1, 2, SIZE, 384), torch.rand(1, 2, SIZE, 384)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        predictor(BlockView(window.question, window.real, context=context, residual=residual))
    expected = predictor.macs + predictor.question_macs
    assert 0.9 < counter.get_total_flops() / 2 / expected < 1.1


def test_it_costs_less_than_two_percent_of_a_minilm_layer():
    hidden = 384
    layer = 32 * (4 * hidden**2 + 8 * hidden**2 + 2 * 160 * hidden)  # a window of 160 positions
    assert QuestionPredictor(LayerShape(12, 32, hidden)).macs < 0.02 * layer
