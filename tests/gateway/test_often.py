"""Frozen dataclasses of which many are made are what dataclasses are, but for what guards them as the program runs."""

import pickle
from dataclasses import dataclass, field, replace

import pytest

from gateway.often import made_often


@dataclass(frozen=True, slots=True)
class Base:
    key: str = "k"


@made_often
@dataclass(frozen=True, slots=True)
class Made(Base):
    number: int = 1
    items: list[int] = field(default_factory=list)
    told: str = field(init=False, default="told")
    kept: dict[str, int] = field(init=False, default_factory=dict)
    last: bool = field(default=False, kw_only=True)


def test_fields_have_what_was_given_or_their_defaults() -> None:
    made = Made("a", 2, [3], last=True)

    assert (made.key, made.number, made.items, made.told, made.kept, made.last) == ("a", 2, [3], "told", {}, True)
    assert Made() == Made("k", 1, [])
    assert Made().items is not Made().items


def test_arguments_are_those_of_the_dataclass() -> None:
    with pytest.raises(TypeError, match="positional arguments"):
        Made("a", 2, [3], True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'told'"):
        Made(told="x")  # type: ignore[call-arg]


def test_it_is_compared_replaced_copied_and_shown_as_a_dataclass_is() -> None:
    made = replace(Made("a", 2, [3]), number=5)

    assert made == Made("a", 5, [3])
    assert made != Made("a", 2, [3])
    assert pickle.loads(pickle.dumps(made)) == made
    assert repr(made) == "Made(key='a', number=5, items=[3], told='told', kept={}, last=False)"


@made_often
@dataclass(frozen=True, slots=True)
class Key:
    name: str
    number: int = 0


def test_it_is_hashed_by_its_values() -> None:
    assert {Key("a"), Key("a", 0), Key("b")} == {Key("a"), Key("b")}


@made_often
@dataclass(frozen=True, slots=True)
class Held:
    least: int

    def __post_init__(self) -> None:
        if self.least < 0:
            raise ValueError(f"expected 0 or more, got {self.least}")


def test_what_it_checks_of_itself_is_checked() -> None:
    with pytest.raises(ValueError, match="expected 0 or more, got -1"):
        Held(-1)
