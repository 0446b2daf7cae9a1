"""The sizes in a configuration are compared with the weights before memory is allocated."""

import pytest

from l2l_rnn.algorithms import ProtoNet
from l2l_rnn.configuration import configuration_of
from l2l_rnn.errors import ArgumentError
from l2l_rnn.models import SequenceEncoder
from l2l_rnn.training.saved.construction import built


def test_a_configuration_that_would_fill_the_memory_is_refused():
    learner = ProtoNet(SequenceEncoder(input_size=3, hidden_size=4), ways=2)
    configuration = configuration_of(learner)
    tensors = learner.state_dict()
    configuration["arguments"]["model"]["arguments"]["hidden_size"] = 10**6  # 16 TB of weights
    with pytest.raises(ArgumentError, match=r"weight_hh_l0: \(16, 4\), \(4000000, 1000000\)"):
        built("from_pretrained", configuration, tensors, None, "0.1.0")
