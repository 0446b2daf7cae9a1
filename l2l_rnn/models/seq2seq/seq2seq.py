"""Recurrent encoder and decoder with attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_choice, check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional import step_mask, token_lengths
from l2l_rnn.models.seq2seq import decoding
from l2l_rnn.models.seq2seq.attention import SourceAttention, padding_bias
from l2l_rnn.models.seq2seq.decoding import Beams
from l2l_rnn.models.seq2seq.pairs import check_not_empty, check_pairs, check_tokens, shifted
from l2l_rnn.nn import CELLS, Embedding, GRUCell, Linear, LSTMCell

_CELLS: dict[str, Any] = {"gru": GRUCell, "lstm": LSTMCell}


class Source(NamedTuple):
    """An encoded source.

    Attributes:
        states: the encoder's states, `(…, B, S, 2 H)`.
        keys: their attention keys, `(…, B, S, H)`.
        bias: 0 at tokens and -inf at padding, `(…, B, S)`.
        copies: the target ids of the tokens that can be copied, else 0, `(…, B, S)`.
    """

    states: Tensor
    keys: Tensor
    bias: Tensor
    copies: Tensor


class DecoderState(NamedTuple):
    """The state of the decoder between two steps.

    Attributes:
        hidden: `h`, or `h` and `c` of an LSTM, each `(…, B, H)`.
        output: the last attentional vector, which is fed to the next step, `(…, B, H)`.
        coverage: the sum of all attention weights, `(…, B, S)`.
    """

    hidden: tuple[Tensor, ...]
    output: Tensor
    coverage: Tensor


@configurable
class Seq2Seq(nn.Module):
    """Translate token sequences with a recurrent encoder, and a recurrent decoder with attention.

    The bidirectional encoder computes states `e_s` of the source. At step t, the decoder computes
    `h_t = cell([embed(y_{t-1}), o_{t-1}], h_{t-1})`, attention weights `a_t` over the states,
    `o_t = tanh(W_o [sum_s a_ts e_s, h_t])` and `p(y_t) = softmax(W_p o_t)`. The first state is a
    projection of the encoder's last states. With `copies`, `p = g softmax(W_p o_t) + (1 - g) q`,
    where `q` copies the tokens of the source with the attention weights, and `g` is a learned gate.

    A target is token ids that end in END and are padded with 0; 0 is also the first input of the
    decoder. The amount of padding changes nothing.

    Args:
        source_vocab_size, target_vocab_size: numbers of ids, including padding.
        embedding_size: features of a token's vector.
        hidden_size: `H`, hidden units of the decoder, and of each direction of the encoder.
        cell: `"gru"` or `"lstm"`.
        attention: `"dot"` or `"additive"`, see `SourceAttention`.
        coverage: whether attention depends on the sum of earlier weights.
        copies: the target id of each source id, 0 for none; None if nothing can be copied.
        max_length: maximum length of a target, END included.
        end: the id END.
        dropout: probability of zeroing, in training, the elements of embedded tokens and of `o_t`
            before the output layer.

    Shapes:
        forward: source `(…, B, S)`, target `(…, B, T)` -> log-probabilities `(…, B, T, V)`. With
        parameters `(N, …)`, both begin with `N`.

    Raises:
        ArgumentError: a size or the dropout is out of range, `copies` has not one valid id for each
            source id; in a call, a token id is out of range, a side of a pair is empty, or a target
            is longer than `max_length`.
        ArgumentTypeError: in a call, token ids are not integers.
        ShapeError: in a call, there is not one target for each source, or an axis is missing.
        UnknownNameError: the cell or the attention is unknown.

    Example:
        >>> model = Seq2Seq(12, 30, hidden_size=8, max_length=20)
        >>> source, target = torch.tensor([[4, 3], [5, 0]]), torch.tensor([[7, 8, 2], [9, 2, 0]])
        >>> model(source, target).shape
        torch.Size([2, 3, 30])
        >>> model.beam_search(source, width=3).tokens.shape[:2]  # (B, W, …), the best first
        torch.Size([2, 3])

    Source: D. Bahdanau et al., 2015, Neural Machine Translation by Jointly Learning to Align and
    Translate; M. Luong et al., 2015, Effective Approaches to Attention-based Neural Machine
    Translation, eq. 5 and section 3.3 (input feeding); copying after A. See et al., 2017, Get To
    The Point, eq. 8-9.
    """

    task_axis: ClassVar[bool] = True

    copies: Tensor | None

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        *,
        embedding_size: int = 64,
        hidden_size: int = 64,
        cell: str = "gru",
        attention: str = "dot",
        coverage: bool = False,
        copies: Sequence[int] | None = None,
        max_length: int = 100,
        end: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        who = "Seq2Seq"
        sizes = (
            check_int(who, "source_vocab_size", source_vocab_size),
            check_int(who, "target_vocab_size", target_vocab_size),
        )
        self.vocab_sizes = sizes
        embedding = check_int(who, "embedding_size", embedding_size)
        size = check_int(who, "hidden_size", hidden_size)
        check_choice(who, "cell", cell, _CELLS)
        self.max_length = check_int(who, "max_length", max_length)
        self.end = check_int(who, "end", end, most=sizes[1] - 1)
        self.dropout = nn.Dropout(check_number(who, "dropout", dropout, least=0, below=1))
        self.source_embedding = Embedding(sizes[0], embedding)
        self.target_embedding = Embedding(sizes[1], embedding)
        self.encoder = CELLS[cell](embedding, size, batch_first=True, bidirectional=True)
        self.cell = _CELLS[cell](embedding + size, size)
        self.bridges = nn.ModuleList([Linear(2 * size, size) for _ in self.encoder.state_sizes])
        self.attention = SourceAttention(2 * size, size, attention, coverage)
        self.output = Linear(3 * size, size)
        self.generator = Linear(size, sizes[1])
        self.gate = None if copies is None else Linear(size, 1)
        table = None if copies is None else copy_table(who, copies, sizes)
        self.register_buffer("copies", table, persistent=False)

    def forward(self, source: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute the log-probabilities of all tokens at each step of the targets.

        Args:
            source, target: pairs of token ids.
            mask: False where a pair is padding, which may be empty; None if there is none.
        """
        check_pairs("Seq2Seq", source, target, mask, self.vocab_sizes)
        check_length("Seq2Seq", target, self.max_length)
        lead = source.shape[:-1]
        source, target = self._merged(source), self._merged(target)
        encoded, state = self._encode(source)
        inputs = self.dropout(self.target_embedding(shifted(target)))
        outputs, weights = [], []
        for x in inputs.unbind(-2):
            state, a = self._advance(encoded, state, x)
            outputs.append(state.output)
            weights.append(a)
        log_p = self._log_p(encoded, torch.stack(outputs, -2), torch.stack(weights, -2))
        return log_p.reshape(*lead, *log_p.shape[-2:])

    def greedy(self, source: Tensor, max_length: int | None = None) -> Tensor:
        """Translate by the most probable token at each step.

        Args:
            source: token ids.
            max_length: maximum number of tokens, END included; None for the model's.

        Returns:
            Token ids `(…, B, T)`, padded with 0 after END. There is no END where the maximum was
            reached.
        """
        encoded, state, start, lead, most = self._begin("Seq2Seq.greedy", source, max_length)
        tokens, _ = decoding.greedy(self._step, encoded, state, start, most, self.end)
        return tokens.reshape(*lead, -1)

    def beam_search(
        self,
        source: Tensor,
        width: int = 5,
        max_length: int | None = None,
        length_penalty: float = 0.0,
    ) -> Beams:
        """Find the most probable translations.

        Args:
            source: token ids.
            width: `W`, number of beginnings that are kept; 1 is greedy decoding.
            max_length: as in `greedy`.
            length_penalty: as in `decoding.beam_search`.

        Returns:
            Token ids `(…, B, W, T)` and scores `(…, B, W)`, the best first, which is never worse
            than the result of `greedy`.
        """
        who = "Seq2Seq.beam_search"
        width = check_int(who, "width", width)
        encoded, state, start, lead, most = self._begin(who, source, max_length)
        tokens, scores = decoding.beam_search(
            self._step, encoded, state, start, most, self.end, width, length_penalty
        )
        return Beams(tokens.reshape(*lead, *tokens.shape[-2:]), scores.reshape(*lead, -1))

    def _begin(
        self, who: str, source: Tensor, max_length: int | None
    ) -> tuple[Source, DecoderState, Tensor, torch.Size, int]:
        check_tokens(who, "source", source, self.vocab_sizes[0])
        check_not_empty(who, "source", source)
        most = decoding.check_max_length(who, max_length, self.max_length)
        lead = source.shape[:-1]
        source = self._merged(source)
        encoded, state = self._encode(source)
        return encoded, state, source.new_zeros(source.shape[:-1]), lead, most

    def _merged(self, tokens: Tensor) -> Tensor:
        """Merge the axes before the steps: `(N, B, S)` with a task axis, else `(B, S)`."""
        first = self.generator.weight.dim() - 2
        return tokens.flatten(first, -2) if tokens.dim() > first + 2 else tokens

    def _encode(self, source: Tensor) -> tuple[Source, DecoderState]:
        lengths = token_lengths(source)
        valid = step_mask(lengths, source.shape[-1])
        x = self.dropout(self.source_embedding(source))
        # A pair that is padding may be empty; it is read as one token, which is a padding vector.
        states, final = self.encoder(x, lengths=lengths.clamp_min(1))
        final = (final,) if isinstance(final, Tensor) else final
        hidden = tuple(
            bridge(part.movedim(-3, -2).flatten(-2)).tanh()
            for bridge, part in zip(self.bridges, final, strict=True)
        )
        valid = valid | (lengths == 0).unsqueeze(-1)
        copies = torch.zeros_like(source) if self.copies is None else self.copies[source]
        encoded = Source(
            states, self.attention.keys(states), padding_bias(valid, states.dtype), copies
        )
        output = torch.zeros_like(hidden[0])
        return encoded, DecoderState(hidden, output, torch.zeros_like(encoded.bias))

    def _advance(
        self, source: Source, state: DecoderState, x: Tensor
    ) -> tuple[DecoderState, Tensor]:
        """Compute the state after a step with the embedded token x, and the attention weights."""
        x = torch.cat([x, state.output], -1)
        hidden = state.hidden[0] if len(state.hidden) == 1 else state.hidden
        hidden = self.cell(x, hidden)
        hidden = (hidden,) if isinstance(hidden, Tensor) else hidden
        weights = self.attention(hidden[0], source.keys, source.bias, state.coverage)
        context = (weights.unsqueeze(-2) @ source.states).squeeze(-2)
        output = self.output(torch.cat([context, hidden[0]], -1)).tanh()
        return DecoderState(hidden, output, state.coverage + weights), weights

    def _log_p(self, source: Source, output: Tensor, weights: Tensor) -> Tensor:
        """Compute log-probabilities from `o` `(…, B, T, H)` and weights `(…, B, T, S)`."""
        output = self.dropout(output)
        log_p: Tensor = self.generator(output).log_softmax(-1)
        if self.gate is None:
            return log_p
        gate = self.gate(output)
        # Tokens that cannot be copied have no weight; what is left is generated.
        weights = weights * (source.copies != 0).unsqueeze(-2)
        total = weights.sum(-1, keepdim=True)
        share = (1 - gate.sigmoid()) * total
        copied = torch.zeros_like(log_p).scatter_add(
            -1, source.copies.unsqueeze(-2).expand(weights.shape), weights
        )
        p = (1 - share) * log_p.exp() + (1 - gate.sigmoid()) * copied
        return p.clamp_min(torch.finfo(p.dtype).tiny).log()

    def _step(
        self, source: Source, state: DecoderState, tokens: Tensor
    ) -> tuple[Tensor, DecoderState]:
        state, weights = self._advance(source, state, self.target_embedding(tokens))
        log_p = self._log_p(source, state.output.unsqueeze(-2), weights.unsqueeze(-2))
        return log_p.squeeze(-2), state


def copy_table(who: str, copies: Sequence[int], sizes: tuple[int, int]) -> Tensor:
    """Check the target ids of source ids, and return them as a tensor.

    Raises:
        ArgumentError: their number is not that of source ids, or one is not a target id.
    """
    table = torch.as_tensor(copies, dtype=torch.int64)
    if table.shape != sizes[:1] or bool((table < 0).any()) or int(table.max()) >= sizes[1]:
        raise ArgumentError(
            f"{who}: copies must be {sizes[0]} target ids from 0 to {sizes[1] - 1}, one for each "
            f"source id, got {table.numel()} from {int(table.min())} to {int(table.max())}; use 0 "
            "for a token that cannot be copied"
        )
    return table


def check_length(who: str, target: Tensor, max_length: int) -> None:
    """Check that no target is longer than the decoder's limit.

    Raises:
        ArgumentError: one is longer.
    """
    if target.shape[-1] <= max_length:
        return
    longest = int(token_lengths(target).max()) if target.numel() else 0
    if longest > max_length:
        raise ArgumentError(
            f"{who}: target must have at most max_length={max_length} tokens, END included, got "
            f"{longest}; create the model with max_length={longest}"
        )
