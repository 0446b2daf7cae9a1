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
        {"quick": 7, "default": 7, "full": 28},
    ),
    "harmonics": Experiment(
        "predict unseen noisy sums of two waves from 5 or 10 points, beside the optimum",
        {"quick": 4, "default": 4, "full": 14},
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
    "series": Experiment(
        "classify time series of unseen datasets from 1 or 5 examples of each class",
        {"quick": 7, "default": 5.1, "full": 20.8},
    ),
    "series_classes": Experiment(
        "classify time series of unseen classes of several datasets",
        {"quick": 5, "default": 3.5, "full": 13.8},
    ),
    "activity": Experiment(
        "recognize the exercises of an unseen person from 1 or 5 windows of each",
        {"quick": 1, "default": 3.8, "full": 13.75},
    ),
    "activity_drift": Experiment(
        "recognize the exercises of a person online, window after window",
        {"quick": 0.8, "default": 3.0, "full": 11.0},
    ),
    "dynamics": Experiment(
        "predict the motion of unseen simulated bodies from 10 or 100 transitions",
        {"quick": 15, "default": 3.78, "full": 13.47},
    ),
    "control": Experiment(
        "control unseen simulated bodies by planning with a model of 5 seconds of experience",
        {"quick": 18, "default": 3.9, "full": 13.5},
    ),
    "bandits": Experiment(
        "pull the arms of unseen bandits: a recurrent policy (RL^2), Thompson sampling and Gittins",
        {"quick": 6, "default": 2.7, "full": 11.1},
    ),
    "grid": Experiment(
        "find an unseen goal in a grid, and return to it in later episodes",
        {"quick": 2, "default": 1.5, "full": 5.0},
    ),
    "forecasting": Experiment(
        "forecast unseen drawn and recorded series, with and without adaptation to their history",
        {"quick": 5, "default": 4, "full": 14},
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
