"""Sequence to sequence with a memory of pairs, from which the decoder copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional import step_mask, token_lengths
from l2l_rnn.models.seq2seq import decoding
from l2l_rnn.models.seq2seq.attention import padding_bias
from l2l_rnn.models.seq2seq.decoding import Beams
from l2l_rnn.models.seq2seq.matches import last_tokens, windows
from l2l_rnn.models.seq2seq.pairs import check_not_empty, check_pairs, check_tokens, shifted
from l2l_rnn.models.seq2seq.pointer_generator import LOG_TINY, EncodedSource, PointerGenerator
from l2l_rnn.models.seq2seq.relational_attention import RelationalAttention
from l2l_rnn.models.seq2seq.seq2seq import check_length, copy_table
from l2l_rnn.models.seq2seq.support_encoder import PairMemory, SourceEncoder, SupportEncoder
from l2l_rnn.nn import CELLS, Embedding, LayerNorm, Linear

_MOST_PLACES = 4  # there is a parameter for each of the 2^places sets of places
_MOST_CONTEXT = 30  # relations are numbered in 16 bits


@configurable
class MemorySeq2Seq(nn.Module):
    """Translate token sequences by reading a memory of pairs, such as a task's support set.

    `remember(x, y)` encodes the pairs into a `PairMemory` with one row for each target token. The
    decoder alternates recurrent layers, which read the target so far and a summary of the source,
    with attention to the rows. A token's probability is a mixture of `softmax(W_p h)` and of the
    tokens in the memory, copied with the weights of a pointer. So the model can write words that it
    has never seen outside of the memory. In training, all steps of a target are computed at once.

    All attention to the memory also depends on two comparisons: how many tokens before a row equal
    the last tokens of the translation, and which of the last tokens of the sources are equal. Both
    are about equal tokens only, so what is learned holds for any letters and words.

    The parameters are learned over many tasks; a task changes only the memory, which is computed
    without gradient steps. To make a model read the memory instead of recalling the languages of
    its training, permute the target tokens in each training task, as in the source below.

    Args:
        source_vocab_size, target_vocab_size: numbers of ids, including padding.
        hidden_size: `H`, an even number: features of all states.
        cell: name of the recurrent layers in `nn.CELLS`.
        heads: heads of each attention.
        encoder_layers: layers of the encoder that let the pairs of the memory read each other.
        decoder_layers: recurrent layers of the decoder, each followed by attention to the memory.
        context: most tokens before a token that are compared with those before the next token of a
            translation.
        places: number of last source tokens that are compared, at most 4: two numbers may share
            their units, their tens and so on.
        read_source: whether the decoder also attends to the steps of the source. Its summary is
            enough for short sources.
        copies: the target id of each source id, 0 for none; None if no source token can be copied.
        max_length: maximum length of a target, END included.
        end: the id END.
        dropout: probability of zeroing, in training, elements of embedded tokens and of what is
            read from the memory.

    Shapes:
        forward: source `(…, B, S)`, target `(…, B, T)`, a memory of K pairs `(…, K, ·)` ->
        log-probabilities `(…, B, T, V)`.

    Raises:
        ArgumentError: a size or the dropout is out of range, `hidden_size` is odd or not a multiple
            of `heads`, or `copies` has not one valid id for each source id; in a call, a token id
            is out of range, a side of a pair is empty, or a target is longer than `max_length`.
        ArgumentTypeError, ShapeError: as in `Seq2Seq`.
        UnknownNameError: the cell is unknown.

    Example:
        >>> model = MemorySeq2Seq(12, 30, hidden_size=8, max_length=20)
        >>> x, y = torch.tensor([[4, 3], [5, 0]]), torch.tensor([[7, 8, 2], [9, 2, 0]])
        >>> memory = model.remember(x, y)
        >>> model(torch.tensor([[5, 3]]), torch.tensor([[9, 8, 2]]), memory).shape
        torch.Size([1, 3, 30])
        >>> model.greedy(torch.tensor([[5, 3]]), memory, max_length=6).shape[0]
        1

    Source: B. Lake, 2019, Compositional generalization through meta sequence-to-sequence learning,
    with its memory of support pairs and its permuted training tasks. There, a row of the memory is
    a pair; here, it is a target token that can be copied, as in O. Vinyals et al., 2015, Pointer
    Networks, and U. Khandelwal et al., 2020, Generalization through Memorization.
    """

    task_axis: ClassVar[bool] = True

    copies: Tensor | None

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        *,
        hidden_size: int = 128,
        cell: str = "gru",
        heads: int = 2,
        encoder_layers: int = 1,
        decoder_layers: int = 2,
        context: int = 4,
        places: int = 3,
        read_source: bool = False,
        copies: Sequence[int] | None = None,
        max_length: int = 100,
        end: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        who = "MemorySeq2Seq"
        self.vocab_sizes = sizes = (
            check_int(who, "source_vocab_size", source_vocab_size),
            check_int(who, "target_vocab_size", target_vocab_size),
        )
        size = check_int(who, "hidden_size", hidden_size, least=2)
        if size % 2:
            raise ArgumentError(
                f"{who}: hidden_size must be even, for two directions, got {size}; pass {size + 1}"
            )
        encoder_layers = check_int(who, "encoder_layers", encoder_layers, least=0)
        decoder_layers = check_int(who, "decoder_layers", decoder_layers)
        self.context = check_int(who, "context", context, most=_MOST_CONTEXT)
        self.places = check_int(who, "places", places, least=0, most=_MOST_PLACES)
        self.max_length = check_int(who, "max_length", max_length)
        self.end = check_int(who, "end", end, most=sizes[1] - 1)
        self.dropout = nn.Dropout(check_number(who, "dropout", dropout, least=0, below=1))
        self.source_embedding = Embedding(sizes[0], size)
        self.target_embedding = Embedding(sizes[1], size)
        self.source_encoder = SourceEncoder(size, size, cell)
        self.support_encoder = SupportEncoder(size, cell, heads, encoder_layers, context, places)
        self.summary = Linear(size, size)
        layers = range(decoder_layers)
        self.norms = nn.ModuleList([LayerNorm(size) for _ in range(decoder_layers + 1)])
        self.recurrences = nn.ModuleList(
            [CELLS[cell](size, size, batch_first=True) for _ in layers]
        )
        kinds = (context + 1) * 2**places
        self.attentions = nn.ModuleList(
            [
                RelationalAttention(size, heads, kinds, 2**places, places**2, by_query=True)
                for _ in layers
            ]
        )
        self.source_attention = RelationalAttention(size, heads) if read_source else None
        table = None if copies is None else copy_table(who, copies, sizes)
        self.output = PointerGenerator(
            size, sizes[1], context + 1, 2**places, places**2, from_source=copies is not None
        )
        self.register_buffer("copies", table, persistent=False)

    def remember(self, source: Tensor, target: Tensor, mask: Tensor | None = None) -> PairMemory:
        """Encode pairs as a memory. They are a set: their order changes nothing.

        Args:
            source, target: K pairs of token ids; K may be 0.
            mask: False where a pair is padding, which may be empty; None if there is none.

        Shapes:
            source `(…, K, S)`, target `(…, K, T)`, mask `(…, K)`.
        """
        who = "MemorySeq2Seq.remember"
        check_pairs(who, source, target, mask, self.vocab_sizes)
        if source.shape[-2] == 0:  # one pair that is padding stands for none
            source, target = (
                torch.ones(*part.shape[:-2], 1, 1, dtype=part.dtype, device=part.device)
                for part in (source, target)
            )
            mask = torch.zeros(source.shape[:-1], dtype=torch.bool, device=source.device)
        memory: PairMemory = self.support_encoder(
            source,
            self._encode(source).summary,
            target,
            self.dropout(self.target_embedding(target)),
            mask,
        )
        return memory

    def forward(
        self, source: Tensor, target: Tensor, memory: PairMemory, mask: Tensor | None = None
    ) -> Tensor:
        """Compute the log-probabilities of all tokens at each step of the targets.

        Args:
            source, target: pairs of token ids.
            memory: what `remember` returned.
            mask: as in `remember`.
        """
        check_pairs("MemorySeq2Seq", source, target, mask, self.vocab_sizes)
        check_length("MemorySeq2Seq", target, self.max_length)
        before = windows(target, self.context)
        return self._decode(self._encode(source), shifted(target), before, memory, None)[0]

    def greedy(self, source: Tensor, memory: PairMemory, max_length: int | None = None) -> Tensor:
        """Translate by the most probable token at each step; arguments as in `Seq2Seq.greedy`."""
        most = self._check("MemorySeq2Seq.greedy", source, max_length)
        encoded, start = self._encode(source), source.new_zeros(source.shape[:-1])
        return decoding.greedy(
            self._step_with(memory), encoded, self._blank(encoded), start, most, self.end
        )[0]

    def beam_search(
        self,
        source: Tensor,
        memory: PairMemory,
        width: int = 5,
        max_length: int | None = None,
        length_penalty: float = 0.0,
    ) -> Beams:
        """Find the most probable translations; arguments as in `Seq2Seq.beam_search`."""
        who = "MemorySeq2Seq.beam_search"
        most, width = self._check(who, source, max_length), check_int(who, "width", width)
        encoded, start = self._encode(source), source.new_zeros(source.shape[:-1])
        step, state = self._step_with(memory), self._blank(encoded)
        return decoding.beam_search(
            step, encoded, state, start, most, self.end, width, length_penalty
        )

    def _check(self, who: str, source: Tensor, max_length: int | None) -> int:
        check_tokens(who, "source", source, self.vocab_sizes[0])
        check_not_empty(who, "source", source)
        return decoding.check_max_length(who, max_length, self.max_length)

    def _encode(self, source: Tensor) -> EncodedSource:
        lengths = token_lengths(source)
        embedded = self.dropout(self.source_embedding(source))
        states, summary = self.source_encoder(embedded, lengths.clamp_min(1))
        bias = padding_bias(step_mask(lengths, source.shape[-1]), states.dtype)
        copies = torch.zeros_like(source) if self.copies is None else self.copies[source]
        ends = last_tokens(source, self.places)
        return EncodedSource(states, summary, bias.clamp_min(LOG_TINY), copies, ends)

    def _blank(self, source: EncodedSource) -> tuple[Any, Tensor]:
        """Return the initial states of the recurrences, `(…, B, 1, H)`, and the tokens so far."""
        zeros = torch.zeros_like(source.summary).unsqueeze(-2)
        states = tuple((zeros,) * len(layer.state_sizes) for layer in self.recurrences)
        return states, source.copies.new_zeros(*source.copies.shape[:-1], self.context)

    def _step_with(self, memory: PairMemory) -> decoding.Step:
        def step(source: EncodedSource, state: Any, tokens: Tensor) -> tuple[Tensor, Any]:
            states, before = state
            before = torch.cat([tokens.unsqueeze(-1), before], -1)[..., : self.context]
            inputs = tokens.unsqueeze(-1)
            log_p, states = self._decode(source, inputs, before.unsqueeze(-2), memory, states)
            return log_p.squeeze(-2), (states, before)

        return step

    def _decode(
        self,
        source: EncodedSource,
        inputs: Tensor,
        before: Tensor,
        memory: PairMemory,
        state: Any,
    ) -> tuple[Tensor, Any]:
        """Compute log-probabilities from the inputs `(…, B, T)`, and the states after them.

        `before` has the tokens before each step, the nearest first, `(…, B, T, context)`.
        """
        shape = inputs.shape[-2:]
        x = self.target_embedding(inputs) + self.summary(source.summary).unsqueeze(-2)
        x = self.dropout(x)
        bias = padding_bias(memory.valid, x.dtype).unsqueeze(-2)  # (…, 1, M)
        relations = memory.relations(before, source.ends)
        after = []
        layers = zip(self.norms[:-1], self.recurrences, self.attentions, strict=True)
        for number, (norm, recurrence, attention) in enumerate(layers):
            y, final = recurrence(norm(x), None if state is None else _to_layer(state[number]))
            after.append(_from_layer(final))
            x = x + y
            if number == 0 and self.source_attention is not None:
                steps = source.bias.unsqueeze(-2)
                x = x + self.source_attention(x, source.states, source.states, steps)
            rows = x.flatten(-3, -2)
            found = attention(rows, memory.keys, memory.values, bias, relations)
            x = x + self.dropout(found).unflatten(-2, shape)
        log_p = self.output(self.norms[-1](x), source, memory, bias, relations)
        return log_p, tuple(after)


def _to_layer(state: tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    """Convert a state `(…, B, 1, H)` to that of a recurrent layer, `(…, 1, B, H)`."""
    moved = tuple(part.movedim(-2, -3) for part in state)
    return moved[0] if len(moved) == 1 else moved


def _from_layer(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Undo `_to_layer`."""
    parts = (state,) if isinstance(state, Tensor) else state
    return tuple(part.movedim(-3, -2) for part in parts)
