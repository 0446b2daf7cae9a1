"""Names and summaries of the experiments, without the imports that running them takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """What is known of an experiment before its specification is imported.

    Attributes:
        summary: one-line description.
        minutes: time limit of all trainings together, by form, in minutes; a test compares it with
            the specification.
    """

    summary: str
    minutes: dict[str, float]


EXPERIMENTS = {
    "languages": Experiment(
        "identify unseen languages from 1 or 5 names each, split by language family",
        {"quick": 9, "default": 5.3, "full": 45},
    ),
    "intents": Experiment(
        "classify smart-home commands into intents of unseen domains",
        {"quick": 9, "default": 5.6, "full": 12},
    ),
    "intents_languages": Experiment(
        "classify smart-home commands in unseen languages into intents",
        {"quick": 9, "default": 5.6, "full": 12},
    ),
    "newsgroups": Experiment(
        "classify newsgroup posts into unseen topics, in the split of Bao et al. 2020",
        {"quick": 4, "default": 3.3, "full": 9.5},
    ),
    "sinusoids": Experiment(
        "predict unseen sine waves from 5 or 10 points and one gradient step",
        {"quick": 6, "default": 6, "full": 24},
    ),
    "lags": Experiment(
        "predict what depends on an input up to 200 steps back, in unseen tasks",
        {"quick": 10, "default": 12, "full": 320},
    ),
    "strokes": Experiment(
        "classify unseen characters one after another, by how often each has appeared",
        {"quick": 9, "default": 9, "full": 53},
    ),
    "languages_by_instance": Experiment(
        "identify unseen languages name after name, by how often each has appeared",
        {"quick": 9, "default": 9, "full": 53},
    ),
    "translation": Experiment(
        "spell out numbers in languages of unseen families, from 5, 20 or 100 examples",
        {"quick": 3, "default": 5.5, "full": 22},
    ),
    "translation_names": Experiment(
        "translate English names into languages of unseen families, from 20 examples",
        {"quick": 3, "default": 5.5, "full": 22},
    ),
    "recommendation": Experiment(
        "predict ratings of unseen users from 5, 10 or 20 ratings",
        {"quick": 7, "default": 3.5, "full": 13.3},
    ),
    "recommendation_ranking": Experiment(
        "rank items for unseen users of whom 5, 10 or 20 ratings are known",
        {"quick": 3, "default": 3.6, "full": 12},
    ),
    "recommendation_file": Experiment(
        "predict ratings, as above, from a file in a format of MovieLens (--root FILE)",
        {"quick": 7, "default": 3.5, "full": 13.3},
    ),
    "recommendation_file_ranking": Experiment(
        "rank items, as above, from a file in a format of MovieLens (--root FILE)",
        {"quick": 3, "default": 3.6, "full": 12},
    ),
}
