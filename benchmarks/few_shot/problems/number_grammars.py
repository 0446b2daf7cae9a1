"""Invented languages that spell out the numbers from 0 to 999, for meta-training."""

from __future__ import annotations

import random

VOWELS = tuple("aeiouyäöüéâ")
CONSONANTS = tuple("bcdfghjklmnprstvwxzšč")
JOINTS = ("", "", "", " ", " ", " ", "-")  # between parts; repeated ones are more likely


def invented_language(random: random.Random, largest: int = 999) -> dict[str, str]:
    """Return the words of all numbers in a new language, by digits.

    A language has random words for digits, teens, tens and hundreds, each either made from the
    words for digits or irregular; a random order of tens and units, and of digits and the word for
    hundred; conjunctions and separators; stems that change in compounds; and sometimes tens that
    are counted in twenties. No real language is copied.

    Args:
        random: the random numbers.
        largest: the largest number, at most 999.

    Example:
        >>> from random import Random
        >>> words = invented_language(Random(0))
        >>> words["7"], words["21"], words["347"] == words["347"]
        ('lep', 'bähelfäx', True)
    """
    grammar = _Grammar(random)
    return {str(number): grammar.spell(number) for number in range(largest + 1)}


class _Grammar:
    """The words and rules of one language."""

    def __init__(self, random: random.Random) -> None:
        self.random = random
        self.vowels = random.sample(VOWELS, random.randint(3, 7))
        self.consonants = random.sample(CONSONANTS, random.randint(7, 15))
        self.closed = random.random()  # probability that a syllable ends in a consonant
        lengths = random.choice(((1,), (1, 1, 2), (1, 2), (2,), (2, 2, 3)))
        self.units = [self.word(lengths) for _ in range(10)]
        self.compound = self.changed(self.units, random.choice((0.0, 0.0, 0.15, 0.5)))
        self.drops = random.random() < 0.15  # whether a vowel is dropped before a vowel
        self.ten, self.hundred = self.word(lengths), self.word(lengths)
        self.teens = self.made_teens(lengths)
        self.tens = self.made_tens(lengths)
        self.units_first = random.random() < 0.2
        self.tens_joint = self.joint(lengths, 0.4)
        self.one_in_compounds = self.word((1, 2)) if random.random() < 0.15 else None
        self.twenties = random.random() < 0.08
        self.hundreds = self.made_hundreds(lengths)
        self.hundreds_joint = self.joint(lengths, 0.3)
        self.small_joint = self.joint(lengths, 0.8)  # after hundreds, before units alone
        if random.random() < 0.8:
            self.small_joint = self.hundreds_joint

    def word(self, lengths: tuple[int, ...]) -> str:
        """Make a random word, with one of the given numbers of syllables."""
        random, parts = self.random, []
        for _ in range(random.choice(lengths)):
            parts.append(random.choice(self.consonants) if random.random() < 0.85 else "")
            parts.append(random.choice(self.vowels) * random.choice((1, 1, 1, 1, 1, 2)))
            parts.append(random.choice(self.consonants) if random.random() < self.closed else "")
        return "".join(parts)

    def changed(self, words: list[str], probability: float) -> list[str]:
        """Return the words with the given probability of another stem."""
        random, changed = self.random, []
        for word in words:
            if random.random() < probability:
                change = random.randrange(4)
                if change == 0 and len(word) > 2:
                    word = word[:-1]
                elif change == 1:
                    word = word[:-1] + random.choice(self.vowels)
                elif change == 2:
                    word += random.choice(self.consonants)
                else:
                    at = random.randrange(len(word))
                    word = word[:at] + random.choice(self.vowels) + word[at + 1 :]
            changed.append(word)
        return changed

    def joint(self, lengths: tuple[int, ...], conjunction: float) -> str:
        """Make what stands between two parts, with some probability of a conjunction."""
        joint = self.random.choice(JOINTS)
        if self.random.random() < conjunction:
            return joint + self.word((1,)) + joint
        return joint

    def joined(self, first: str, joint: str, second: str) -> str:
        """Join two parts."""
        if self.drops and not joint and first[-1] in self.vowels and second[0] in self.vowels:
            first = first[:-1] or first
        return first + joint + second

    def multiples(self, base: str, irregular: float) -> list[str]:
        """Make the words for 1 to 9 times a base, from the units or irregular."""
        random = self.random
        stems = self.changed(self.units, random.choice((0.0, 0.0, 0.2, 0.5)))
        prefix = self.word((1,)) if random.random() < 0.15 else ""
        bases = [base, self.changed([base], 1.0)[0]] if random.random() < 0.2 else [base] * 2
        border = random.randint(3, 5)
        joint, base_first = random.choice(JOINTS), random.random() < 0.2
        words = []
        for number, stem in enumerate(stems):
            own = bases[number >= border]
            pair = (own, prefix + stem) if base_first else (prefix + stem, own)
            words.append(self.joined(pair[0], joint, pair[1]))
            if random.random() < irregular:
                words[-1] = self.word((1, 2, 3))
        return words

    def made_teens(self, lengths: tuple[int, ...]) -> list[str]:
        random = self.random
        base = self.ten if random.random() < 0.5 else self.word(lengths)
        base_first, joint = random.random() < 0.5, self.joint(lengths, 0.2)
        units = self.changed(self.units, random.choice((0.0, 0.2, 0.5)))
        teens = [self.ten]
        for unit in units[1:]:
            pair = (base, unit) if base_first else (unit, base)
            teens.append(self.joined(pair[0], joint, pair[1]))
        irregular = random.choice((0, 0, 1, 2, 9))
        for number in range(1, 1 + irregular):
            teens[number] = self.word((1, 2))
        return teens

    def made_tens(self, lengths: tuple[int, ...]) -> list[str]:
        base = self.ten if self.random.random() < 0.5 else self.word(lengths)
        return self.multiples(base, self.random.choice((0.0, 0.0, 0.1, 0.3, 1.0)))

    def made_hundreds(self, lengths: tuple[int, ...]) -> list[str]:
        hundreds = self.multiples(self.hundred, self.random.choice((0.0, 0.0, 0.0, 0.1, 1.0)))
        if self.random.random() < 0.6:
            hundreds[1] = self.hundred
        return hundreds

    def below_hundred(self, number: int) -> str:
        tens, unit = divmod(number, 10)
        if tens == 0:
            return self.units[unit]
        if tens == 1:
            return self.teens[unit]
        if self.twenties:
            score, rest = divmod(number, 20)
            if not rest:
                return self.tens[2 * score]
            small = self.units[rest] if rest < 10 else self.teens[rest - 10]
            return self.joined(self.tens[2 * score], self.tens_joint, small)
        if unit == 0:
            return self.tens[tens]
        word = self.compound[unit]
        if unit == 1 and self.one_in_compounds is not None:
            word = self.one_in_compounds
        first, second = (word, self.tens[tens]) if self.units_first else (self.tens[tens], word)
        return self.joined(first, self.tens_joint, second)

    def spell(self, number: int) -> str:
        """Spell out a number from 0 to 999."""
        hundreds, rest = divmod(number, 100)
        if not hundreds:
            return self.below_hundred(rest)
        if not rest:
            return self.hundreds[hundreds]
        joint = self.small_joint if rest < 10 else self.hundreds_joint
        return self.joined(self.hundreds[hundreds], joint, self.below_hundred(rest))
