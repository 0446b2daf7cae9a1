"""The sentences behind the task set `intents`: drawn at random from templates, and cleaned."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from l2l_rnn.optional import require
from l2l_rnn.tasksets.text.intent_fillings import fillings
from l2l_rnn.tasksets.text.language_names import usable

_PURPOSE = "the task set 'intents'"
VERSION = 1  # of how sentences are drawn; arrays kept by another are not read

_REFERENCE = re.compile(r"\{[^}]*\}|<[^>]*>")
_CANDIDATES = 2  # forms drawn for each one that is kept: some turn out to belong to two intents
_TRIES = 8  # draws for each form that is kept, after which an intent has no more

Sentences = dict[str, tuple[str, ...]]
_Piece = tuple[str, str]  # a slot or a text, and what is said


def known_languages() -> tuple[str, ...]:
    """Return the codes of all languages with templates, such as "en" and "pt-BR"."""
    package = require("home_assistant_intents", extra="text", purpose=_PURPOSE)
    return tuple(sorted(package.get_languages()))


def intent_count(language: str) -> int:
    """Return how many intents a language has templates of, many or few."""
    return len(_Grammar(language).intents)


def is_latin(language: str) -> bool:
    """Return whether the letters of a language's templates are Latin, most of them."""
    letters = _Grammar(language).letters()
    return 2 * sum(usable(letter, "latin") for letter in letters) > len(letters)


@functools.lru_cache(maxsize=128)
def build(language: str, least: int, most: int, max_length: int, seed: int) -> Sentences:
    """Draw the sentences of every intent of a language; the arguments are those of `Intents`.

    A form is a sentence with its slots left open. Of every form comes one sentence, so that no two
    differ only in what fills their slots; an intent with fewer forms than `least` gets further
    sentences of them. A form, or a sentence, that two intents have is dropped from both. Intents
    left with fewer than `least` are left out.
    """
    grammar = _Grammar(language)
    randoms = {intent: Random(f"{seed} {language} {intent}") for intent in grammar.intents}
    drawn = {
        intent: _draw_forms(grammar, intent, most, max_length, random)
        for intent, random in randoms.items()
    }
    intents_of_form = Counter(form for forms in drawn.values() for form in forms)
    intents_of_sentence = Counter(
        said for forms in drawn.values() for said in {s.casefold() for s in forms.values()}
    )
    kept = {}
    for intent, forms in drawn.items():
        own = {
            form: sentence
            for form, sentence in forms.items()
            if intents_of_form[form] == intents_of_sentence[sentence.casefold()] == 1
        }
        sentences = list({said.casefold(): said for said in own.values()}.values())[:most]
        for _ in range(_TRIES * least if own and len(sentences) < least else 0):
            form, sentence = grammar.draw(intent, randoms[intent])
            said = sentence.casefold()
            if form in own and len(said) <= max_length and not intents_of_sentence[said]:
                intents_of_sentence[said] += 1
                sentences.append(sentence)
            if len(sentences) == least:
                break
        if len(sentences) >= least:
            kept[intent] = tuple(sentences)
    return kept


def _draw_forms(
    grammar: _Grammar, intent: str, count: int, max_length: int, random: Random
) -> dict[str, str]:
    """Draw form -> sentence, the first of each form, in the order they came."""
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

    A template is one of the intent's at random; in it, every branch of a choice is as likely, and
    parts in free order stand in a random one. To leave an optional part out is one branch more:
    "[a]" stands one time in two, and "[a|b]" two times in three.
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
        """Return all letters of the templates, the names of slots and rules left out."""
        texts = [text for templates in self._templates.values() for text, _ in templates]
        return "".join(filter(str.isalpha, _REFERENCE.sub("", " ".join(texts))))

    def draw(self, intent: str, random: Random) -> _Piece:
        """Draw a sentence of an intent: its form, where slots are left open, and its text."""
        template, domains = random.choice(self._templates[intent])
        pieces = list(self._walk(self._parse(template), domains, random))
        form, text = ("".join(side) for side in zip(*pieces, strict=True))
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
