"""`l2l-rnn encode`: the states of a frozen encoder, computed once and stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from l2l_rnn.cli import signals
from l2l_rnn.cli.arguments import Output
from l2l_rnn.cli.fitting.contradictions import out_of_range, unknown_names
from l2l_rnn.cli.output import log, show, show_json
from l2l_rnn.cli.rows import check_present, joined, names_of, read_columns
from l2l_rnn.cli.usage import refuse


@dataclass(frozen=True)
class EncodeSettings:
    """Encoding.

    Args:
        encoder: name, folder or Hugging Face id of the encoder, such as all-MiniLM-L6-v2
        cache: folder of the states; one under ~/data/encoders by default
        data: csv, tsv, json, jsonl or parquet files of texts
        text: columns of the texts, joined by a space; text by default
        taskset: name of a task set of texts, all of whose splits are encoded
        taskset_options: options of the task set
        root: folder of downloaded data
        max_length: largest number of token ids of a text
        layer: layer of the states; -1 is the last
        batch_size: texts that are computed at once
        device: cpu, cuda, cuda:N or mps
    """

    positional: ClassVar[bool] = True
    encoder: str
    cache: str | None = None
    data: list[str] | str | None = None
    text: list[str] | str | None = None
    taskset: str | None = None
    taskset_options: dict[str, Any] | None = None
    root: str = "~/data"
    max_length: int = 200
    layer: int = -1
    batch_size: int = 32
    device: str = "cpu"


GROUPS = (EncodeSettings, Output)
EXAMPLES = """
  l2l-rnn encode all-MiniLM-L6-v2 --taskset intents
  l2l-rnn encode all-MiniLM-L6-v2 --data posts.csv --text title body --cache posts-states
  l2l-rnn encode sentence-transformers/all-mpnet-base-v2 --data posts.csv --device cuda

It needs the extra `encoders` of l2l_rnn, with torch 2.6 or newer. models.FrozenEncoder reads the
cache in every environment. Texts that are stored are skipped: run the command again after an
interruption.
"""


def run(settings: EncodeSettings, output: Output) -> int:
    """Encode the texts, and print how many were new."""
    problems = list(out_of_range(settings))
    if settings.batch_size < 1:
        problems.append(f"--batch_size must be a positive integer, got {settings.batch_size}")
    if (settings.data is None) == (settings.taskset is None):
        problems.append("name the texts: --data with --text, or --taskset")
    if settings.text is not None and settings.data is None:
        problems.append("--text is only for --data")
    refuse([*problems, *unknown_names(taskset=settings.taskset)])
    log("importing torch")
    from l2l_rnn.models import FrozenEncoder
    from l2l_rnn.training import encode_texts

    signals.check()
    encoder = FrozenEncoder(
        settings.encoder,
        cache=settings.cache,
        max_length=settings.max_length,
        layer=settings.layer,
    )
    new = encode_texts(
        encoder, _texts(settings), batch_size=settings.batch_size, device=settings.device
    )
    if output.json:
        show_json({"encoder": settings.encoder, "cache": str(encoder.cache), "new": new})
    else:
        show(f"stored {new:,} new rows in {encoder.cache}")
    return 0


def _texts(settings: EncodeSettings) -> Any:
    if settings.taskset is not None:
        from l2l_rnn.tasksets import get_tasksets

        options = settings.taskset_options or {}
        return tuple(get_tasksets(settings.taskset, root=settings.root, **options))
    names = names_of(settings.text, "text")
    files = [settings.data] if isinstance(settings.data, str) else settings.data or []
    found: list[str] = []
    for path in files:
        columns = read_columns("encode", path, names)
        texts = joined([columns[name] for name in names])
        check_present("encode", path, " ".join(names), texts)
        found += map(str, texts)
    return found
