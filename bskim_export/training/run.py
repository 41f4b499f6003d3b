"""A training run from its questions to its checkpoint: resumable, and finished only once."""

import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import EarlyStoppingCallback, TrainingArguments, set_seed

from bskim_export.atomic import write_json
from bskim_export.bundle.manifest import RunDefaults
from bskim_export.checkpoint.loading import Checkpoint, save_checkpoint
from bskim_export.data.documents import DocumentMaker
from bskim_export.data.notes import OnNote, warn_data
from bskim_export.data.question import Question
from bskim_export.data.squad import write_squad
from bskim_export.errors import InputError
from bskim_export.evaluate.usable import usable
from bskim_export.model.qa import BlockSkimForQuestionAnswering
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.cache import CachedObjective, ViewCache
from bskim_export.training.documents import DocumentCollator, DocumentWindows, Sampling
from bskim_export.training.evaluate import Evaluation
from bskim_export.training.features import Collator, Feature, make_features
from bskim_export.training.importance import head_importance, least_important
from bskim_export.training.objective import LossSettings, SkimObjective
from bskim_export.training.settings import TrainSettings
from bskim_export.training.trainer import Rates, SkimTrainer

Progress = Callable[[str, int, int], None]
"""Called with the name of a piece of work, how much of it is done, and out of how much."""
REPORT = "report.json"
HELD_OUT = "held_out.json"
"""The questions that were held out, to calibrate thresholds on."""
CACHE = "cache"
BEST = {"save_strategy": "epoch", "load_best_model_at_end": True, "metric_for_best_model": "eval_f1"}
PRUNE_WINDOWS = 512
"""Windows on which the importance of heads is measured."""
SAVE_STEPS = 200
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
    """
    # Start the run, or go on with one of the same settings.
    folder = run_folder(out)
    if (folder / REPORT).is_file():
        raise InputError(f"'{out}' is finished; its report is in '{folder}'. Choose another --out, or delete both.")
    settings.check_resumable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings.write(folder)

    # Train. A resumed run repeats all that comes before its last saved step, so it draws the same random numbers.
    set_seed(settings.seed)
    model = _with_predictors(checkpoint.model, settings)
    options = _options(model, settings)
    maker = WindowMaker(Tokenizer.from_str(checkpoint.tokenizer), checkpoint.describe())
    questions = usable(questions, maker, options, on_note)
    held_out = usable(held_out, maker, options, on_note)
    write_squad(folder / HELD_OUT, held_out)
    trainer, evaluation = _prepare(checkpoint, questions, held_out, settings, options, folder, progress, others)
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


def _with_predictors(model: BlockSkimForQuestionAnswering, settings: TrainSettings) -> BlockSkimForQuestionAnswering:
    layers = range(model.config.num_hidden_layers) if settings.layers is None else settings.layers
    if settings.alpha == 0 and not settings.freeze:
        layers = ()
    limit = min(settings.max_seq_len, model.skim.max_seq_len)
    wanted = (settings.predictor, tuple(layers), settings.block_size)
    if wanted != (model.skim.predictor, model.skim.layers, model.skim.block_size):
        model.add_predictors(layers, settings.predictor, settings.block_size)
    model.skim = dataclasses.replace(model.skim, max_seq_len=min(limit, model.skim.max_seq_len))
    if settings.dropout is not None:
        model.set_dropout(settings.dropout)
    return model


def _options(model: BlockSkimForQuestionAnswering, settings: TrainSettings) -> RunOptions:
    """Return the settings of windows, in training as at run time."""
    length = model.skim.max_seq_len
    return RunOptions.resolve(RunDefaults.of_length(length), length, doc_stride=settings.doc_stride, batch_size=BATCH)


def _prune(
    model: BlockSkimForQuestionAnswering, features: Sequence[Feature], collator: Collator, share: float, folder: Path
) -> None:
    """Prune heads by their importance on the first features; a resumed run prunes the same ones."""
    known = folder / "pruned_heads.json"
    if not known.is_file():
        some = features[:PRUNE_WINDOWS]
        batches = (collator(some[i : i + BATCH]) for i in range(0, len(some), BATCH))
        pruned = least_important(head_importance(model, batches), share)
        write_json(known, {str(i): heads for i, heads in pruned.items()})
    model.prune_heads({int(i): heads for i, heads in json.loads(known.read_text(encoding="utf-8")).items()})


def _prepare(
    checkpoint: Checkpoint,
    questions: Sequence[Question],
    held_out: Sequence[Question],
    settings: TrainSettings,
    options: RunOptions,
    folder: Path,
    progress: Progress,
    others: Sequence[Question],
) -> tuple[SkimTrainer, Evaluation]:
    """Return the trainer of a run, and the evaluation on its held-out questions."""
    if settings.documents:
        return _prepare_documents(checkpoint, questions, held_out, settings, options, folder, others)
    model = checkpoint.model
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer)
    collator = Collator(settings.block_size, model.config.pad_token_id)

    # Cut the questions into labelled windows.
    done = iter(range(1, len(questions) + 1))
    features = make_features(
        questions,
        WindowMaker(tokenizer, checkpoint.describe()),
        options.max_seq_len,
        options.doc_stride,
        settings.evidence,
        lambda: progress("Tokenising", next(done), len(questions)),
    )

    # A pruned model has another description, and it is the one to evaluate.
    if settings.prune_heads:
        _prune(model, features, collator, settings.prune_heads, folder)
    evaluation = Evaluation(held_out, WindowMaker(tokenizer, checkpoint.describe()), options, collator)

    # A frozen model runs once and for all, if there is room for what its predictors read; else in every epoch.
    lengths = [len(f) for f in features]
    args = _arguments(settings, len(features), folder)
    rates = Rates(settings.learning_rate, settings.predictor_learning_rate)
    if settings.freeze:
        cache = ViewCache(folder / CACHE, model.eval(), features, collator)
        if cache.fits and args.world_size == 1:
            cache.build(progress, settings.bf16)
            objective = CachedObjective(model, settings.beta, cache.reads)
            return SkimTrainer(objective, args, range(len(features)), lengths, cache, rates, evaluation), evaluation

    # Otherwise the whole model is part of the objective.
    return SkimTrainer(_objective(model, settings), args, features, lengths, collator, rates, evaluation), evaluation


def _prepare_documents(
    checkpoint: Checkpoint,
    questions: Sequence[Question],
    held_out: Sequence[Question],
    settings: TrainSettings,
    options: RunOptions,
    folder: Path,
    others: Sequence[Question],
) -> tuple[SkimTrainer, Evaluation]:
    """Return the trainer of a run on documents, and the evaluation on documents too."""
    model = checkpoint.model
    maker = WindowMaker(Tokenizer.from_str(checkpoint.tokenizer), checkpoint.describe())
    collator = Collator(settings.block_size, model.config.pad_token_id)
    documents = settings.documents or 1
    sampling = Sampling(documents, settings.windows, settings.seed, settings.evidence)
    windows = DocumentWindows(questions, maker, options, sampling, others)
    as_documents = DocumentMaker(held_out, settings.seed)
    evaluation = Evaluation([as_documents(q, documents) for q in held_out], maker, options, collator)
    args = _arguments(settings, len(questions), folder)
    rates = Rates(settings.learning_rate, settings.predictor_learning_rate)
    # Documents are of like length, all of them.
    lengths = [1] * len(windows)
    trainer = SkimTrainer(
        _objective(model, settings), args, windows, lengths, DocumentCollator(collator), rates, evaluation
    )
    return trainer, evaluation


def _objective(model: BlockSkimForQuestionAnswering, settings: TrainSettings) -> SkimObjective:
    losses = LossSettings(
        settings.alpha, settings.beta, settings.layer_weights, settings.freeze, settings.skim_training
    )
    return SkimObjective(model, losses)


def _arguments(settings: TrainSettings, windows: int, folder: Path) -> TrainingArguments:
    steps = -(-windows // settings.batch_size) * settings.epochs
    arguments: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": settings.batch_size,
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": int(steps * settings.warmup),
        "weight_decay": 0.01,
        "bf16": settings.bf16,
        "seed": settings.seed,
        "logging_steps": 50,
        "save_steps": SAVE_STEPS,
        "save_total_limit": 2,
        "eval_strategy": "epoch",
        "report_to": "none",
        **(BEST if settings.early_stopping else {}),
        "remove_unused_columns": False,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        **(settings.trainer or {}),
    }
    try:
        return TrainingArguments(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"transformers.TrainingArguments refuses its arguments: {error}") from None
