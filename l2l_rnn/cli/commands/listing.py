"""`l2l-rnn list`: what there is, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import l2l_rnn
from l2l_rnn.cli.arguments import Output
from l2l_rnn.cli.catalog import catalog
from l2l_rnn.cli.output import show, show_json, show_table
from l2l_rnn.cli.usage import UsageError
from l2l_rnn.files import read_json
from l2l_rnn.registry import hint

_WEIGHTS = Path(l2l_rnn.__file__).parent / "weights"


@dataclass(frozen=True)
class What:
    """What to list.

    Args:
        what: tasksets, learners, cells, poolings, memories, pretrained or presets; or the name of a
            task set, for its card; everything by default
        cards: print the whole cards of the task sets
    """

    rest: ClassVar[str] = "what"
    what: list[str] | None = None
    cards: bool = False


GROUPS = (What, Output)
EXAMPLES = """
  l2l-rnn list
  l2l-rnn list learners
  l2l-rnn list languages           # the card of one task set
  l2l-rnn list tasksets --cards
  l2l-rnn list --json
"""


def run(what: What, output: Output) -> int:
    """Print the sections that were asked for, or the card of a task set."""
    sections = {**catalog(), "pretrained": _pretrained()}
    tasksets = sections["tasksets"]
    known = [*sections, *tasksets]
    chosen = list(what.what or ()) or list(sections)
    for name in chosen:
        if name not in known:
            raise UsageError(
                f"list: unknown name {name!r}{hint(name, known)} Sections: {', '.join(sections)}"
            )
    if output.json:
        show_json({n: sections[n] if n in sections else tasksets[n] for n in chosen})
        return 0
    for number, name in enumerate(chosen):
        if number:
            show()
        if name in tasksets and name not in sections:
            show(f"{name}\n{_card(tasksets[name])}")
        elif name == "tasksets" and what.cards:
            show("\n\n".join(f"{one}\n{_card(card)}" for one, card in tasksets.items()))
        else:
            _print_section(name, sections[name])
    return 0


def _print_section(name: str, members: dict[str, Any]) -> None:
    show(f"{name}:")
    shown = {
        one: (about or {}).get("task", "") if name == "tasksets" else about
        for one, about in members.items()
    }
    show_table([(f"  {one}", about) for one, about in shown.items()] or [("  none", "")])


def _card(card: dict[str, Any] | None) -> str:
    text = "no card" if card is None else str(card["text"])
    return "\n".join(f"  {line}" for line in text.splitlines())


def _pretrained() -> dict[str, str]:
    """Return the bundled models with their descriptions, without an import of torch."""
    found = {}
    for config in sorted(_WEIGHTS.glob("*/config.json")):
        content = read_json("list", config)
        lines = str(content.get("description") or "").strip().splitlines()
        found[config.parent.name] = lines[0] if lines else ""
    return found
