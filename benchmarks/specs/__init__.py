"""The experiments, one file each."""

from __future__ import annotations

from benchmarks.spec import Spec
from benchmarks.specs.by_instance import LANGUAGES_BY_INSTANCE, STROKES_BY_INSTANCE
from benchmarks.specs.lags import LAG_BENCHMARK
from benchmarks.specs.languages import LANGUAGES
from benchmarks.specs.sinusoids import SINUSOIDS

SPECS: dict[str, Spec] = {
    spec.name: spec
    for spec in (LANGUAGES, SINUSOIDS, LAG_BENCHMARK, STROKES_BY_INSTANCE, LANGUAGES_BY_INSTANCE)
}
