"""A training run from its questions to its checkpoint: resumable, and finished only once."""

import dataclasses
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import EarlyStoppingCallback, set_seed

from bskim_export.atomic import write_json
from bskim_export.bundle.manifest import RunDefaults
from bskim_export.checkpoint.loading import Checkpoint, save_checkpoint
from bskim_export.data.notes import OnNote, warn_data
from bskim_export.data.question import Question
from bskim_export.data.squad import write_squad
from bskim_export.errors import InputError
from bskim_export.evaluate.usable import usable
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.job import Job, Progress
from bskim_export.training.settings import TrainSettings
from bskim_export.training.split_run import load_teacher, prepare_split, split_model
from bskim_export.training.trainer import Measure, SkimTrainer
from bskim_export.training.whole_run import CACHE, prepare_documents, prepare_windows

REPORT = "report.json"
HELD_OUT = "held_out.json"
"""The questions that were held out, to calibrate thresholds on."""
BATCH = 16
"""Windows that run together where nothing is learnt: to evaluate, and to measure the importance of heads."""


def run_folder(out: Path) -> Path:
    """Return the folder of a run: model.training for model.pt.

    It holds the state of an unfinished run, and the report of a finished one.
    """
    return out.with_suffix(".training")


def train(
    checkpoint: Checkpoint,
    questions: Sequence[Question],
    held_out: Sequence[Question],
    settings: TrainSettings,
    out: Path,
    progress: Progress = lambda what, done, total: None,
    on_note: OnNote = warn_data,
    others: Sequence[Question] = (),
) -> dict[str, Any]:
    """Train, and write the checkpoint `out`. A run that was killed goes on from its last saved step.

    Args:
        checkpoint: the model to start from; it is trained in place
        questions: the model learns from them
        held_out: EM and F1 on them are logged after each epoch
        progress: called while the run is prepared; the Trainer shows its own progress
        on_note: called with one line if questions are left out, because they cannot be run
        others: whose paragraphs make the documents, in the order of their files; default: `questions`

    Returns:
        the report: settings, figures, seconds, log.

    Raises:
        InputError: `out` is finished already, its unfinished run had other settings, or no question can be run.
        CheckpointError: the model cannot have such predictors or be split there, or the teacher does not fit it.
    """
    # Start the run, or go on with one of the same settings.
    folder = run_folder(out)
    if (folder / REPORT).is_file():
        raise InputError(f"'{out}' is finished; its report is in '{folder}'. Choose another --out, or delete both.")
    settings.check_resumable(folder)

    # A resumed run repeats all that comes before its last saved step, so it draws the same random numbers. What cannot
    # be trained so is refused before anything is written.
    set_seed(settings.seed)
    model = _with_predictors(checkpoint.model, settings)
    teacher = None
    if settings.teacher is not None:
        progress("Loading the teacher", 0, 1)
        teacher = load_teacher(settings.teacher, checkpoint)
        progress("Loading the teacher", 1, 1)
    elif settings.split is not None:
        on_note(
            "Without --teacher the split model learns from answers alone. It learns more from the model that was split."
        )
    folder.mkdir(parents=True, exist_ok=True)
    settings.write(folder)

    # Train.
    options = _options(model, settings)
    maker = WindowMaker(Tokenizer.from_str(checkpoint.tokenizer), checkpoint.describe())
    questions = usable(questions, maker, options, on_note)
    held_out = usable(held_out, maker, options, on_note)
    write_squad(folder / HELD_OUT, held_out)
    job = Job(checkpoint, questions, held_out, others or questions, settings, options, folder, progress, on_note)
    trainer, evaluation = _prepare(job, teacher)
    if settings.early_stopping:
        trainer.add_callback(EarlyStoppingCallback(settings.early_stopping))
    last = last_checkpoint(folder)
    progress("Training", 0, 0)
    start = time.time()
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    model.cpu()

    # The report is written last: where it is, the run is finished.
    report = {
        "settings": dataclasses.asdict(settings),
        "questions": len(questions),
        "windows": trainer.windows,
        "steps": trainer.state.global_step,
        "seconds_since_last_start": round(time.time() - start),
        "held_out": {"questions": len(held_out), **evaluation(model)},
        "log": trainer.state.log_history,
    }
    if not trainer.is_world_process_zero():
        return report
    save_checkpoint(model, out, checkpoint.tokenizer)
    write_json(folder / REPORT, report)
    for path in [*folder.glob("checkpoint-*"), folder / CACHE]:
        shutil.rmtree(path, ignore_errors=True)
    return report


def last_checkpoint(folder: Path) -> Path | None:
    """Return the last step that was saved whole, and remove any that was not: the Trainer's state is written last."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / "trainer_state.json").is_file():
            whole.append(path)
        else:
            shutil.rmtree(path)
    return max(whole, key=lambda p: int(p.name.split("-")[1]), default=None)


def _prepare(job: Job, teacher: BlockSkimForQuestionAnswering | None) -> tuple[SkimTrainer, Measure]:
    """Return the trainer of a run, and the evaluation on its held-out questions."""
    if job.settings.split is not None:
        return prepare_split(job, teacher)
    return prepare_documents(job) if job.settings.documents else prepare_windows(job)


def _with_predictors(model: BlockSkimForQuestionAnswering, settings: TrainSettings) -> BlockSkimForQuestionAnswering:
    """Return the model with the predictors that it shall have.

    Raises:
        CheckpointError: it cannot have them, or is split and shall not be trained so.
    """
    if settings.split is not None:
        split_model(model, settings.split, settings)
    else:
        model.skim.require_whole()
        layers = range(model.config.num_hidden_layers) if settings.layers is None else settings.layers
        if (settings.alpha == 0 and not settings.freeze) or settings.length_drop:
            layers = ()
        wanted = (settings.predictor, tuple(layers), settings.block_size)
        if wanted != (model.skim.predictor, model.skim.layers, model.skim.block_size):
            model.add_predictors(layers, settings.predictor, settings.block_size)
    model.skim = dataclasses.replace(model.skim, max_seq_len=min(settings.max_seq_len, model.skim.max_seq_len))
    if settings.dropout is not None:
        model.set_dropout(settings.dropout)
    return model


def _options(model: BlockSkimForQuestionAnswering, settings: TrainSettings) -> RunOptions:
    """Return the settings of windows, in training as at run time."""
    length = model.skim.max_seq_len
    return RunOptions.resolve(RunDefaults.of_length(length), length, doc_stride=settings.doc_stride, batch_size=BATCH)
