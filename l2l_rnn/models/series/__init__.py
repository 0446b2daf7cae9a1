"""Encoders of time series of any length and number of channels."""

from l2l_rnn.models.series.classifier import SeriesClassifier
from l2l_rnn.models.series.convolution import StepConvolution
from l2l_rnn.models.series.encoder import SeriesEncoder
from l2l_rnn.models.series.minirocket import MiniRocket
from l2l_rnn.models.series.resampling import ResampledSeries

__all__ = ["MiniRocket", "ResampledSeries", "SeriesClassifier", "SeriesEncoder", "StepConvolution"]
