"""The experiments, one per file."""

from __future__ import annotations

from benchmarks.few_shot.spec import Spec
from benchmarks.few_shot.specs.activity import ACTIVITY, ACTIVITY_DRIFT
from benchmarks.few_shot.specs.bandits import BANDITS, GRID
from benchmarks.few_shot.specs.control import CONTROL, DYNAMICS
from benchmarks.few_shot.specs.episodes import LANGUAGES_BY_INSTANCE, STROKES_BY_INSTANCE
from benchmarks.few_shot.specs.forecasting import FORECASTING
from benchmarks.few_shot.specs.harmonics import HARMONICS
from benchmarks.few_shot.specs.intents import INTENTS
from benchmarks.few_shot.specs.intents_languages import INTENTS_LANGUAGES
from benchmarks.few_shot.specs.lags import LAGS
from benchmarks.few_shot.specs.languages import LANGUAGES
from benchmarks.few_shot.specs.newsgroups import NEWSGROUPS
from benchmarks.few_shot.specs.recommendation import (
    RECOMMENDATION,
    RECOMMENDATION_FILE,
    RECOMMENDATION_FILE_RANKING,
    RECOMMENDATION_RANKING,
)
from benchmarks.few_shot.specs.series import SERIES, SERIES_CLASSES
from benchmarks.few_shot.specs.sinusoids import SINUSOIDS
from benchmarks.few_shot.specs.translation import TRANSLATION, TRANSLATION_NAMES

SPECS: dict[str, Spec] = {
    spec.name: spec
    for spec in (
        LANGUAGES,
        INTENTS,
        INTENTS_LANGUAGES,
        NEWSGROUPS,
        SINUSOIDS,
        HARMONICS,
        LAGS,
        STROKES_BY_INSTANCE,
        LANGUAGES_BY_INSTANCE,
        TRANSLATION,
        TRANSLATION_NAMES,
        SERIES,
        SERIES_CLASSES,
        ACTIVITY,
        ACTIVITY_DRIFT,
        DYNAMICS,
        CONTROL,
        BANDITS,
        GRID,
        FORECASTING,
        RECOMMENDATION,
        RECOMMENDATION_RANKING,
        RECOMMENDATION_FILE,
        RECOMMENDATION_FILE_RANKING,
    )
}
