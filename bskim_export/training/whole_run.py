"""Runs of models that read question and passage together: on windows, on documents, or of predictors alone."""

import json
from collections.abc import Sequence

from bskim_export.atomic import write_json
from bskim_export.data.documents import DocumentMaker
from bskim_export.training.cache import CachedObjective, ViewCache
from bskim_export.training.documents import DocumentCollator, DocumentWindows, Sampling
from bskim_export.training.evaluate import Evaluation
from bskim_export.training.features import Collator, Feature, make_features
from bskim_export.training.importance import head_importance, least_important
from bskim_export.training.job import Job
from bskim_export.training.length_drop import LengthDropObjective
from bskim_export.training.objective import LossSettings, SkimObjective
from bskim_export.training.trainer import Measure, SkimTrainer

CACHE = "cache"
PRUNE_WINDOWS = 512
"""Windows on which the importance of heads is measured."""


def prepare_windows(job: Job) -> tuple[SkimTrainer, Measure]:
    """Return the trainer of a run on windows, and the evaluation on its held-out questions."""
    model, settings, options = job.model, job.settings, job.options
    collator = Collator(settings.block_size, model.config.pad_token_id)

    # Cut the questions into labelled windows.
    done = iter(range(1, len(job.questions) + 1))
    features = make_features(
        job.questions,
        job.maker(),
        options.max_seq_len,
        options.doc_stride,
        settings.evidence,
        lambda: job.progress("Tokenising", next(done), len(job.questions)),
    )

    # A pruned model has another description, and it is the one to evaluate.
    if settings.prune_heads:
        _prune(job, features, collator, settings.prune_heads)
    evaluation = Evaluation(job.held_out, job.maker(), options, collator)

    # A frozen model runs once and for all, if there is room for what its predictors read; else in every epoch.
    lengths = [len(f) for f in features]
    args = job.arguments(len(features))
    if settings.freeze:
        cache = ViewCache(job.folder / CACHE, model.eval(), features, collator)
        if cache.fits and args.world_size == 1:
            cache.build(job.progress, settings.bf16)
            cached = CachedObjective(model, settings.beta, cache.reads)
            return SkimTrainer(cached, args, range(len(features)), lengths, cache, job.rates, evaluation), evaluation

    # Otherwise the whole model is part of the objective.
    return SkimTrainer(_objective(job), args, features, lengths, collator, job.rates, evaluation), evaluation


def prepare_documents(job: Job) -> tuple[SkimTrainer, Measure]:
    """Return the trainer of a run on documents, and the evaluation on documents too."""
    settings, options, maker = job.settings, job.options, job.maker()
    collator = Collator(settings.block_size, job.model.config.pad_token_id)
    documents = settings.documents or 1
    sampling = Sampling(documents, settings.windows, settings.seed, settings.evidence)
    windows = DocumentWindows(job.questions, maker, options, sampling, job.others)
    as_documents = DocumentMaker(job.held_out, settings.seed)
    evaluation = Evaluation([as_documents(q, documents) for q in job.held_out], maker, options, collator)
    args = job.arguments(len(job.questions))
    # Documents are of like length, all of them.
    lengths = [1] * len(windows)
    batches = DocumentCollator(collator)
    return SkimTrainer(_objective(job), args, windows, lengths, batches, job.rates, evaluation), evaluation


def _prune(job: Job, features: Sequence[Feature], collator: Collator, share: float) -> None:
    """Prune heads by their importance on the first features; a resumed run prunes the same ones."""
    known = job.folder / "pruned_heads.json"
    if not known.is_file():
        some = features[:PRUNE_WINDOWS]
        size = job.options.batch_size
        batches = (collator(some[i : i + size]) for i in range(0, len(some), size))
        pruned = least_important(head_importance(job.model, batches), share)
        write_json(known, {str(i): heads for i, heads in pruned.items()})
    job.model.prune_heads({int(i): heads for i, heads in json.loads(known.read_text(encoding="utf-8")).items()})


def _objective(job: Job) -> SkimObjective | LengthDropObjective:
    settings = job.settings
    if settings.length_drop:
        return LengthDropObjective(job.model, settings.length_drop, settings.seed)
    losses = LossSettings(
        settings.alpha, settings.beta, settings.layer_weights, settings.freeze, settings.skim_training
    )
    return SkimObjective(job.model, losses)
