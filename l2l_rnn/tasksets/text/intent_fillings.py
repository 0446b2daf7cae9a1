"""Fillers for the open slots of smart-home sentences: rooms, devices, chores, songs.

The templates of home-assistant-intents have open slots for free text and for names of rooms and
devices. In English they are filled with common names, by kind of device. In every other language
they are filled with first names that are spelled the same in most languages.
"""

from __future__ import annotations

from collections.abc import Iterable

_GIVEN_NAMES = (
    "Luna, Orion, Nova, Atlas, Aurora, Kira, Delta, Echo, Sierra, Mira, Cosmo, Vega, Stella, "
    "Bruno, Oscar, Nina, Felix, Emma, Leo, Lola"
)

_ENGLISH = {
    "area": (
        "kitchen, living room, bedroom, bathroom, hallway, garage, office, dining room, attic, "
        "basement, nursery, laundry room, guest room, study, pantry, porch"
    ),
    "floor": "ground, first, second, third, upper, lower, top, main",
    "zone": "work, school, the gym, the library, the park, the station, church, the cabin",
    "message": (
        "dinner is ready, we leave in ten minutes, the guests are here, breakfast is on the table, "
        "time for bed, the taxi is waiting, someone is at the door, lunch is served"
    ),
    "search_query": (
        "Yesterday, Bohemian Rhapsody, Moonlight Sonata, Blue in Green, Space Oddity, Clair de "
        "Lune, Take Five, Thriller, Hallelujah, Imagine"
    ),
    "timer_name": "pizza, pasta, laundry, egg, tea, homework, oven, nap, bread, workout",
    "timer_command": (
        "turn off the fan, open the blinds, lock the front door, start the dishwasher, close the "
        "garage door, turn on the heater"
    ),
    "shopping_list_item": "milk, eggs, bread, butter, apples, rice, coffee, soap, onions, cheese",
    "todo_list_item": (
        "call grandma, water the plants, pay the rent, wash the car, buy stamps, feed the cat, "
        "mow the lawn, clean the fridge"
    ),
}

_ENGLISH_NAMES = {
    "binary_sensor": "back door, pantry window, skylight, mailbox, cellar hatch, balcony door",
    "button": "doorbell, reset, garage remote, restart, panic, feeder",
    "climate": "thermostat, heat pump, radiator, air conditioner, boiler, floor heating",
    "cover": "left curtain, roller blind, garage door, patio awning, sun shade, side gate",
    "fan": "ceiling fan, desk fan, tower fan, exhaust fan, extractor, ventilator",
    "lawn_mower": "robot, grass cutter, front yard, back yard, mowbot, meadow",
    "light": "desk lamp, chandelier, reading light, night light, floor lamp, spotlight, lantern",
    "lock": "front door, back door, gate, cellar door, safe, bike shed",
    "media_player": "TV, stereo, radio, soundbar, record player, speaker, projector",
    "person": "Ada, Alan, Grace, Edsger, Barbara, Donald, Margaret, Claude",
    "scene": "movie night, romantic, party, sunrise, relax, focus",
    "script": "good night, goodbye, morning routine, wake up, holiday, cleaning day",
    "todo": "chores, groceries, holiday, garden, work, party",
    "vacuum": "robot, dust buster, hoover, sweeper, Rosie, cleaner",
    "valve": "sprinkler, water main, gas valve, garden tap, drip line, pool inlet",
    "weather": "Boston, Paris, Tokyo, Oslo, Cairo, Lima, home, Sydney",
}


def fillings(language: str, slot: str, domains: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the fillers of an open slot.

    Args:
        language: code of the language.
        slot: name of the slot, such as "area".
        domains: kinds of device that the slot "name" accepts; empty accepts every kind.

    Example:
        >>> fillings("en", "name", ["lock"])[:3]
        ('front door', 'back door', 'gate')
        >>> fillings("fi", "area")[:3]
        ('Luna', 'Orion', 'Nova')
    """
    if language == "en" and slot == "name":
        lists = [_ENGLISH_NAMES[kind] for kind in domains if kind in _ENGLISH_NAMES]
        words = ", ".join(lists or _ENGLISH_NAMES.values())
    else:
        words = _ENGLISH.get(slot, _GIVEN_NAMES) if language == "en" else _GIVEN_NAMES
    return tuple(words.split(", "))
