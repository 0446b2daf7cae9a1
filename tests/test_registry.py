import contextlib

import pytest

import l2l_rnn.registry
from l2l_rnn.errors import ArgumentError, L2LRNNError, UnknownNameError
from l2l_rnn.registry import Registry


@pytest.fixture
def shapes():
    registry = Registry("shape")
    for sides, name in enumerate(["triangle", "square", "pentagon", "hexagon"], start=3):
        registry.register(name)(sides)
    return registry


def test_a_registry_is_an_ordered_mapping(shapes):
    assert list(shapes) == ["triangle", "square", "pentagon", "hexagon"]
    assert len(shapes) == 4
    assert shapes["square"] == 4
    assert "square" in shapes
    assert "circle" not in shapes
    assert dict(shapes)["hexagon"] == 6
    assert shapes.get("circle") is None


def test_register_returns_its_argument(shapes):
    def heptagon():
        pass

    assert shapes.register("heptagon")(heptagon) is heptagon
    assert shapes["heptagon"] is heptagon


def test_a_name_can_be_registered_once(shapes):
    with pytest.raises(ArgumentError, match="shape 'square' is registered already"):
        shapes.register("square")(5)
    assert shapes["square"] == 4


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sqare", "did you mean 'square'?"),
        ("pentagone", "did you mean 'pentagon'"),
        ("Square", "did you mean 'square'?"),
        ("xyz", "unknown shape 'xyz'. Known"),
        ("", "unknown shape ''. Known"),
        (None, "unknown shape None"),
        (["square"], "unknown shape ['square']"),
    ],
)
def test_unknown_names_suggest_similar_ones(shapes, name, hint):
    with pytest.raises(UnknownNameError) as caught:
        shapes[name]
    assert hint in str(caught.value)
    assert str(caught.value).endswith("Known: triangle, square, pentagon, hexagon")
    assert isinstance(caught.value, L2LRNNError)
    assert isinstance(caught.value, ValueError)


class Point:
    def __init__(self, name, value):
        self.name, self.value = name, value
        self.loaded = 0

    def load(self):
        self.loaded += 1
        return self.value


@pytest.mark.parametrize(
    "look",
    [
        lambda r: r["plugin"],
        lambda r: "plugin" in r,
        len,
        list,
    ],
    ids=["item", "in", "len", "iter"],
)
def test_entry_points_load_at_the_first_lookup(monkeypatch, look):
    points = [Point("plugin", 1), Point("own", 2)]
    groups = []

    def entry_points(group):
        groups.append(group)
        return points

    monkeypatch.setattr(l2l_rnn.registry, "entry_points", entry_points)
    registry = Registry("thing", "a.group")
    registry.register("own")(0)
    assert groups == []
    look(registry)
    look(registry)
    assert groups == ["a.group"]
    assert dict(registry) == {"own": 0, "plugin": 1}  # built-in members come first
    assert points[0].loaded == 1


def test_without_a_group_no_entry_points_load(monkeypatch):
    monkeypatch.setattr(l2l_rnn.registry, "entry_points", lambda group: 1 / 0)
    assert list(Registry("thing")) == []


def test_a_broken_plugin_does_not_hide_the_rest(monkeypatch):
    """The first lookup raises an error, but the registry keeps the other members."""

    class Broken(Point):
        def load(self):
            raise ImportError("gone")

    points = [Broken("broken", 0), Point("plugin", 1)]
    monkeypatch.setattr(l2l_rnn.registry, "entry_points", lambda group: points)
    registry = Registry("thing", "a.group")
    for _ in range(2):  # a second lookup must not silently miss members
        with contextlib.suppress(ImportError):
            assert "plugin" in list(registry)
