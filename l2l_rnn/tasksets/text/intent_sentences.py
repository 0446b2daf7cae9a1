"""Random sentences for the task sets of intents, drawn from templates and filtered."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError
from l2l_rnn.optional import require
from l2l_rnn.tasksets.text.cldr import is_written_in
from l2l_rnn.tasksets.text.intent_fillings import fillings

_PURPOSE = "the task set 'intents'"
VERSION = 1  # version of the drawing code; sentences cached by another version are ignored

_REFERENCE = re.compile(r"\{[^}]*\}|<[^>]*>")
_CANDIDATES = 2  # forms drawn for each form to keep, because some occur in two intents
_TRIES = 8  # draws for each form to keep; an intent is then assumed to have no more forms

Sentences = dict[str, tuple[str, ...]]  # intent -> its sentences
_Piece = tuple[str, str]  # a piece of the form, with open slots, and of the sentence


class SentenceOptions(NamedTuple):
    """Options that determine which sentences are drawn, as in `Intents`."""

    min_sentences: int
    max_sentences: int
    max_length: int
    seed: int


def check_options(
    who: str, min_sentences: object, max_sentences: object, max_length: object, seed: object
) -> SentenceOptions:
    """Return the options as integers.

    Raises:
        ArgumentError: an option is not an integer in its range, or `max_sentences` is less than
            `min_sentences`.
    """
    options = SentenceOptions(
        check_int(who, "min_sentences", min_sentences),
        check_int(who, "max_sentences", max_sentences),
        check_int(who, "max_length", max_length),
        check_int(who, "seed", seed, least=0),
    )
    if options.max_sentences < options.min_sentences:
        raise ArgumentError(
            f"{who}: max_sentences must be at least min_sentences={options.min_sentences}, got "
            f"{options.max_sentences}; raise it"
        )
    return options


def known_languages() -> tuple[str, ...]:
    """Return the codes of all languages with templates, such as "en" and "pt-BR"."""
    package = require("home_assistant_intents", extra="text", purpose=_PURPOSE)
    return tuple(sorted(package.get_languages()))


def intent_count(language: str) -> int:
    """Return the number of intents for which a language has templates."""
    return len(_Grammar(language).intents)


def is_latin(language: str) -> bool:
    """Return whether most letters in a language's templates are Latin."""
    letters = _Grammar(language).letters()
    return 2 * sum(is_written_in(letter, "latin") for letter in letters) > len(letters)


@functools.lru_cache(maxsize=128)
def build(language: str, options: SentenceOptions) -> Sentences:
    """Draw the sentences of every intent of a language.

    A form is a sentence with open slots. Each form yields one sentence, so that no two sentences
    differ only in their slots. An intent with fewer forms than `min_sentences` gets more sentences
    of the same forms. A form or sentence that occurs in two intents is dropped from both. An intent
    with fewer than `min_sentences` sentences is left out.
    """
    least, most, max_length, seed = options
    grammar = _Grammar(language)
    randoms = {intent: Random(f"{seed} {language} {intent}") for intent in grammar.intents}
    drawn = {
        intent: _draw_forms(grammar, intent, most, max_length, random)
        for intent, random in randoms.items()
    }
    intents_of_form = Counter(form for forms in drawn.values() for form in forms)
    intents_of_sentence = Counter(
        folded for forms in drawn.values() for folded in {s.casefold() for s in forms.values()}
    )
    kept = {}
    for intent, forms in drawn.items():
        own = {
            form: sentence
            for form, sentence in forms.items()
            if intents_of_form[form] == intents_of_sentence[sentence.casefold()] == 1
        }
        sentences = list({s.casefold(): s for s in own.values()}.values())[:most]
        for _ in range(_TRIES * least if own and len(sentences) < least else 0):
            form, sentence = grammar.draw(intent, randoms[intent])
            folded = sentence.casefold()
            if form in own and len(folded) <= max_length and not intents_of_sentence[folded]:
                intents_of_sentence[folded] += 1
                sentences.append(sentence)
            if len(sentences) == least:
                break
        if len(sentences) >= least:
            kept[intent] = tuple(sentences)
    return kept


def _draw_forms(
    grammar: _Grammar, intent: str, count: int, max_length: int, random: Random
) -> dict[str, str]:
    """Draw forms, each with its first sentence, in the order in which they are drawn."""
    forms: dict[str, str] = {}
    for _ in range(_TRIES * count):
        form, sentence = grammar.draw(intent, random)
        if len(sentence) <= max_length:
            forms.setdefault(form, sentence)
        if len(forms) == _CANDIDATES * count:
            break
    return forms


class _Grammar:
    """Draws sentences from the templates of one language.

    Each draw picks a template of the intent at random. All branches of a choice are equally likely,
    and parts in free order are shuffled. Leaving out an optional part counts as a branch, so "[a]"
    is present in one of two draws, and "[a|b]" in two of three.
    """

    def __init__(self, language: str) -> None:
        package = require("home_assistant_intents", extra="text", purpose=_PURPOSE)
        self._hassil = require("hassil", extra="text", purpose=_PURPOSE)
        data: Mapping[str, Any] = package.get_intents(language)
        self._language = language
        self._rules: Mapping[str, str] = data["expansion_rules"]
        self._lists: Mapping[str, Mapping[str, Any]] = data["lists"]
        self._parsed: dict[str, Any] = {}
        self._templates: dict[str, list[tuple[str, Sequence[str]]]] = {}
        for intent, content in sorted(data["intents"].items()):
            self._templates[intent] = [
                (text, _domains(block)) for block in content["data"] for text in block["sentences"]
            ]

    @property
    def intents(self) -> tuple[str, ...]:
        return tuple(intent for intent, templates in self._templates.items() if templates)

    def letters(self) -> str:
        """Return all letters of the templates, without the names of slots and rules."""
        texts = [text for templates in self._templates.values() for text, _ in templates]
        return "".join(filter(str.isalpha, _REFERENCE.sub("", " ".join(texts))))

    def draw(self, intent: str, random: Random) -> _Piece:
        """Draw a sentence of an intent; return its form, with open slots, and its text."""
        template, domains = random.choice(self._templates[intent])
        pieces = list(self._walk(self._parse(template), domains, random))
        form, text = ("".join(half) for half in zip(*pieces, strict=True))
        sentence = unicodedata.normalize("NFC", " ".join(text.split()))
        return " ".join(form.casefold().split()), sentence

    def _parse(self, template: str) -> Any:
        if template not in self._parsed:
            self._parsed[template] = self._hassil.parse_sentence(template).expression
        return self._parsed[template]

    def _walk(self, part: Any, domains: Sequence[str], random: Random) -> Iterator[_Piece]:
        hassil = self._hassil
        if isinstance(part, hassil.TextChunk):
            yield part.original_text, part.original_text
        elif isinstance(part, hassil.RuleReference):
            yield from self._walk(self._parse(self._rules[part.rule_name]), domains, random)
        elif isinstance(part, hassil.ListReference):
            yield "{}", self._fill(part, domains, random)
        elif isinstance(part, hassil.Alternative):
            yield from self._walk(random.choice(part.items), domains, random)
        else:
            items = part.items
            if isinstance(part, hassil.Permutation):
                items = random.sample(items, len(items))
            for item in items:
                yield from self._walk(item, domains, random)

    def _fill(self, slot: Any, domains: Sequence[str], random: Random) -> str:
        content = self._lists.get(slot.list_name, {})
        if slot.is_inline_range:
            start, stop, step = slot.get_inline_range()
            return str(random.randrange(start, stop + 1, step))
        if "range" in content:
            bounds = content["range"]
            return str(random.randrange(bounds["from"], bounds["to"] + 1, bounds.get("step", 1)))
        if "values" in content:
            value = random.choice(content["values"])
            template = value["in"] if isinstance(value, Mapping) else value
            return "".join(t for _, t in self._walk(self._parse(template), domains, random))
        return random.choice(fillings(self._language, slot.list_name, domains))


def _domains(block: Mapping[str, Any]) -> Sequence[str]:
    domains = block.get("requires_context", {}).get("domain", ())
    return (domains,) if isinstance(domains, str) else tuple(domains)
