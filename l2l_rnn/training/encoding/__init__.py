"""Texts and words through a frozen encoder."""

from l2l_rnn.training.encoding.texts import encode_texts
from l2l_rnn.training.encoding.words import word_vectors

__all__ = ["encode_texts", "word_vectors"]
