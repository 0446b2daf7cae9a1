"""Pure functions of tensors with a task axis: recurrences, affine maps, padding, losses."""

from l2l_rnn.functional.affine import embedding, linear
from l2l_rnn.functional.forecasting import (
    interval_coverage,
    mean_absolute_scaled_error,
    pinball_loss,
    seasonal_scale,
    symmetric_percentage_error,
)
from l2l_rnn.functional.losses import (
    accuracy,
    binary_cross_entropy,
    cross_entropy,
    mean_squared_error,
)
from l2l_rnn.functional.memory.addressing import (
    allocation,
    content_weights,
    cosine_similarity,
    interpolate,
    sharpen,
    shift,
    temporal_links,
)
from l2l_rnn.functional.padding import step_lengths, step_mask, token_lengths
from l2l_rnn.functional.ranking import ndcg_at, recall_at
from l2l_rnn.functional.recurrence.compiled_passes import compiled
from l2l_rnn.functional.recurrence.recurrences import gru, lstm, rnn
from l2l_rnn.functional.recurrence.scan import linear_scan, lru, min_gru, min_lstm
from l2l_rnn.functional.sequence_losses import sequence_accuracy, sequence_cross_entropy
from l2l_rnn.functional.warping import dtw

__all__ = [
    "accuracy",
    "allocation",
    "binary_cross_entropy",
    "compiled",
    "content_weights",
    "cosine_similarity",
    "cross_entropy",
    "dtw",
    "embedding",
    "gru",
    "interpolate",
    "interval_coverage",
    "linear",
    "linear_scan",
    "lru",
    "lstm",
    "mean_absolute_scaled_error",
    "mean_squared_error",
    "min_gru",
    "min_lstm",
    "ndcg_at",
    "pinball_loss",
    "recall_at",
    "rnn",
    "seasonal_scale",
    "sequence_accuracy",
    "sequence_cross_entropy",
    "sharpen",
    "shift",
    "step_lengths",
    "step_mask",
    "symmetric_percentage_error",
    "temporal_links",
    "token_lengths",
]
