"""The experiments, one file each."""

from __future__ import annotations

from benchmarks.few_shot.spec import Spec
from benchmarks.few_shot.specs.by_instance import LANGUAGES_BY_INSTANCE, STROKES_BY_INSTANCE
from benchmarks.few_shot.specs.lags import LAG_BENCHMARK
from benchmarks.few_shot.specs.languages import LANGUAGES
from benchmarks.few_shot.specs.sinusoids import SINUSOIDS

SPECS: dict[str, Spec] = {
    spec.name: spec
    for spec in (LANGUAGES, SINUSOIDS, LAG_BENCHMARK, STROKES_BY_INSTANCE, LANGUAGES_BY_INSTANCE)
}
