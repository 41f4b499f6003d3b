"""Runs of split models: on parts of documents, most often with a teacher."""

from collections.abc import Sequence

from tokenizers import Tokenizer

from bskim_export.checkpoint.loading import Checkpoint, load_checkpoint
from bskim_export.data.question import Question
from bskim_export.errors import CheckpointError
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.model.skim_config import position_limit
from bskim_export.training.job import Job
from bskim_export.training.settings import TrainSettings
from bskim_export.training.split_data import PartCollator, SplitParts
from bskim_export.training.split_evaluate import SplitEvaluation
from bskim_export.training.split_objective import SplitLosses, SplitObjective
from bskim_export.training.trainer import Measure, SkimTrainer


def split_model(model: BlockSkimForQuestionAnswering, layer: int, settings: TrainSettings) -> None:
    """Split a model, in place. One that is split there already goes on with the predictors that it has.

    Raises:
        CheckpointError: there is no such layer, or a skim predictor is below it, or the block size does not fit.
    """
    own = settings.layers
    if own is None:
        own = tuple(i for i in (layer, layer + 1) if i == layer or i < model.config.num_hidden_layers - 1)
    if settings.alpha == 0:
        own = ()
    skim = model.skim
    if (settings.predictor, settings.block_size) != (skim.predictor, skim.block_size):
        model.add_predictors((), settings.predictor, settings.block_size)  # none of another kind stays
    if (layer, own) != (model.skim.split_layer, model.skim.layers):
        model.split(layer, own)


def load_teacher(name: str, pupil: Checkpoint) -> BlockSkimForQuestionAnswering:
    """Return the model that a split one learns from.

    Args:
        name: a directory, a file or a hub id
        pupil: already split

    Raises:
        CheckpointError: it cannot be loaded, or has other tokens, layers or widths than the pupil, or is split itself.
    """
    teacher = load_checkpoint(name)
    skim = teacher.model.skim
    if skim.split_layer is not None:
        raise CheckpointError(
            f"The teacher '{name}' is split itself, at layer {skim.split_layer}. A teacher reads question and passage "
            "together: name the model that the split one was made of."
        )
    tokens = [Tokenizer.from_str(one.tokenizer).get_vocab() for one in (teacher, pupil)]
    if tokens[0] != tokens[1]:
        raise CheckpointError(f"The teacher '{name}' has other tokens than the model: it cannot read the same text.")
    for what in ("num_hidden_layers", "hidden_size"):
        theirs, ours = (getattr(one.model.config, what) for one in (teacher, pupil))
        if theirs != ours:
            raise CheckpointError(
                f"The teacher '{name}' has {what} {theirs}, the model {ours}: its states cannot be imitated."
            )
    if position_limit(teacher.model.config) < pupil.model.skim.max_seq_len:
        raise CheckpointError(
            f"The teacher '{name}' has {position_limit(teacher.model.config)} positions, windows have "
            f"{pupil.model.skim.max_seq_len}. Pass a smaller --max-seq-len."
        )
    return teacher.model


def prepare_split(job: Job, teacher: BlockSkimForQuestionAnswering | None) -> tuple[SkimTrainer, Measure]:
    """Return the trainer of a run of a split model, and the evaluation on its held-out questions."""
    settings, maker = job.settings, job.maker()
    questions = in_order(job.questions, job.others)
    parts = SplitParts(questions, maker.tokenizer, maker.model, settings.seed)
    evaluation = SplitEvaluation(job.held_out, maker, job.options)
    losses = SplitLosses(alpha=settings.alpha, beta=settings.beta, layer_weights=settings.layer_weights)
    objective = SplitObjective(job.model, losses, teacher)
    args = job.arguments(len(parts))
    if teacher is not None:
        teacher.to(args.device)  # no part of the objective, so the Trainer does not move it
    # Parts are of like length, all of them.
    lengths = [1] * len(parts)
    trainer = SkimTrainer(objective, args, parts, lengths, PartCollator(maker.model), job.rates, evaluation)
    return trainer, evaluation


def in_order(questions: Sequence[Question], others: Sequence[Question]) -> list[Question]:
    """Return questions in the order in which their paragraphs stand in `others`: parts are made of neighbours."""
    place = {context: i for i, context in enumerate(dict.fromkeys(q.context for q in others))}
    return sorted(questions, key=lambda q: place.get(q.context, len(place)))
