"""Skim predictors: modules that decide which blocks stay, one file a kind."""

from bskim_export.model.predictors.base import SkimPredictor
from bskim_export.model.predictors.diagonal import DiagonalPredictor
from bskim_export.model.predictors.question import QuestionPredictor
from bskim_export.model.predictors.whole_map import WholeMapPredictor

PREDICTORS: dict[str, type[SkimPredictor]] = {
    "diagonal": DiagonalPredictor,
    "question": QuestionPredictor,
    "map": WholeMapPredictor,
}
"""Every kind of predictor, under the name that `--predictor` and `skim_predictor` in config.json give it."""
