"""Parsers made from dataclasses: each field is a flag and a key of a YAML file."""

from __future__ import annotations

import argparse
import difflib
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NoReturn

from l2l_rnn.cli.tokens import members, rewritten
from l2l_rnn.cli.usage import EXIT_CODES, UsageError
from l2l_rnn.optional import require
from l2l_rnn.registry import did_you_mean

jsonargparse: Any = require("jsonargparse", extra="cli", purpose="the command l2l-rnn")


@dataclass(frozen=True)
class Model:
    """Model.

    Args:
        model: folder of a saved model, name of a bundled one, or id on the Hugging Face Hub
    """

    positional: ClassVar[bool] = True
    model: str


@dataclass(frozen=True)
class Output:
    """Output.

    Args:
        json: print the result as JSON on stdout
        debug: print the traceback of an error
    """

    json: bool = False
    debug: bool = False


def read(
    who: str, summary: str, groups: Sequence[type], examples: str, arguments: Sequence[str]
) -> tuple[list[Any], set[str]]:
    """Return the settings that the arguments and YAML files of a command give.

    Args:
        who: the program and the command, as in error messages.
        summary: what the command does.
        groups: dataclasses whose fields are the flags. Fields without a default of a class with
            `positional = True` are positional arguments, and `rest` names a field that takes any
            number of them. With `yaml = True` in the first class, the command takes `--config`.
        examples: shown at the end of the help.
        arguments: the arguments after the command.

    Returns:
        One instance of each group, and the names of the settings that are not defaults.

    Raises:
        UsageError: an argument is unknown or has a wrong type.
        SystemExit: `--help` or `--print_config` was given.
    """
    kinds = {name: kind for group in groups for name, kind in typing.get_type_hints(group).items()}
    kinds = {name: k for name, k in kinds.items() if typing.get_origin(k) is not ClassVar}
    parser = _Parser(
        prog=who,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"examples:\n{examples.strip(chr(10))}\n\n{EXIT_CODES}",
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.kinds = kinds
    if getattr(groups[0], "yaml", False):
        parser.add_argument(
            "--config",
            action=jsonargparse.ActionConfigFile,
            help="a YAML file of settings; flags after it override it",
        )
    for group in groups:
        rest = getattr(group, "rest", None)
        parser.add_class_arguments(
            group,
            as_positional=getattr(group, "positional", False),
            skip={rest} if rest else set(),
        )
        if rest:
            parser.add_argument(rest, nargs="*", type=str, help=_help_of(group, rest))
    typed = rewritten(arguments, kinds)
    found = parser.parse_args(typed)
    given = parser.parse_args(typed, defaults=False)
    settings = [group(**{f.name: _plain(found[f.name]) for f in fields(group)}) for group in groups]
    return settings, {name for name in kinds if given.get(name) is not None}


def _help_of(group: type, name: str) -> str:
    """Return the description of a field in the docstring of its class."""
    found = re.search(rf"^ +{name}: (.*?)(?=^ +\w+: |\Z)", group.__doc__ or "", re.M | re.S)
    return " ".join(found[1].split()) if found else ""


def _plain(value: Any) -> Any:
    """Return a value without the namespaces that jsonargparse makes of dicts."""
    if isinstance(value, jsonargparse.Namespace):
        value = vars(value)
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


class _Parser(jsonargparse.ArgumentParser):
    """Parser whose errors are UsageErrors in the words of the command line."""

    kinds: dict[str, Any]

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = re.sub(r"^(Problem with|Validation failed:) ?", "", message.strip())
        wrong = re.search(r'Parser key "([\w.]+)":', message)
        value = re.search(r"(?:Got value|Given value): (.*)", message)
        unexpected = re.search(r"(?:Key|Option|Namespace|Group) [\"']([\w.]+)[\"'] is not", message)
        if wrong and value and wrong[1].partition(".")[0] in self.kinds:
            wanted = _described(self.kinds[wrong[1].partition(".")[0]])
            message = f"--{wrong[1]} must be {wanted}, got {value[1]!r}"
        elif unexpected:
            near = difflib.get_close_matches(unexpected[1], self.kinds, n=3)
            message = f"unknown setting {unexpected[1]!r}{did_you_mean(near)}".rstrip(".")
        raise UsageError(" ".join(message.split())) from ex


class _Formatter(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help with short lines: what a flag is, and its default."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if action.default in (None, argparse.SUPPRESS, False, {}) or not action.option_strings:
            return text
        return f"{text} (default: %(default)s)"

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return action.dest.upper()
        flags = ", ".join(flag for flag in action.option_strings if not flag.endswith("+"))
        kind = vars(action).get("_typehint")
        return flags if kind in (None, bool) else f"{flags} {_metavar(kind)}"

    def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any) -> str:
        given = [a.dest.upper() for a in actions if not a.option_strings]
        return f"usage: {' '.join([self._prog, *given])} [flags]\n\n"


def _metavar(kind: Any) -> str:
    parts = [member for member in members(kind) if member is not type(None)]
    for part in parts:
        if typing.get_origin(part) is list:
            return f"{_metavar(typing.get_args(part)[0])} ..."
    if typing.get_origin(parts[0]) is typing.Literal:
        return "{" + ",".join(map(str, typing.get_args(parts[0]))) + "}"
    names = {int: "INT", float: "NUMBER", str: "TEXT"}
    return ".NAME VALUE" if typing.get_origin(parts[0]) is dict else names.get(parts[0], "VALUE")


def _described(kind: Any) -> str:
    names = {int: "an integer", float: "a number", str: "a text", bool: "true or false"}
    parts = [member for member in members(kind) if member is not type(None)]
    for part in parts:
        if typing.get_origin(part) is list:
            item = typing.get_args(part)[0]
            return {int: "integers", float: "numbers"}.get(item, "texts")
        if typing.get_origin(part) is typing.Literal:
            return f"one of {', '.join(map(str, typing.get_args(part)))}"
        if typing.get_origin(part) is dict:
            return "named values"
    return names.get(parts[0], "a value")
