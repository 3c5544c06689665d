"""Caches: what is not used for longest is forgotten, by number and by bytes."""

from __future__ import annotations

from gateway.caches import Lru, remembered


def test_the_cache_counts_hits_misses_and_evictions() -> None:
    lru: Lru[str, int] = Lru(2, limit_bytes=100)
    for name in "abc":
        assert lru.get(name) is None
        lru.put(name, ord(name), 10)
    assert (lru.get("a"), lru.get("b"), lru.get("c")) == (None, ord("b"), ord("c"))
    assert (len(lru), lru.hits, lru.misses, lru.evictions) == (2, 2, 4, 1)


def test_the_cache_is_bounded_by_bytes_and_forgets_what_alone_is_too_heavy() -> None:
    lru: Lru[str, int] = Lru(1_000, limit_bytes=100)
    for number, weight in enumerate((40, 40, 40)):
        lru.put(str(number), number, weight)
    assert (lru.get("0"), lru.get("1"), lru.bytes) == (None, 1, 80)
    lru.put("heavy", 9, 101)
    assert (len(lru), lru.bytes, lru.get("heavy")) == (0, 0, None)


def test_an_item_of_the_cache_may_become_heavier_as_long_as_it_is_the_one_that_is_kept() -> None:
    lru: Lru[str, str] = Lru(1_000, limit_bytes=100)
    lru.put("a", "first", 40)
    lru.put("b", "second", 40)
    lru.grow("a", "another", 1_000)
    assert lru.bytes == 80
    lru.grow("b", "second", 30)
    assert (lru.get("a"), lru.get("b"), lru.bytes) == (None, "second", 70)


def test_a_cache_of_no_size_keeps_nothing() -> None:
    lru: Lru[str, int] = Lru(0, limit_bytes=100)
    lru.put("a", 1, 10)
    assert (len(lru), lru.bytes) == (0, 0)


def test_texts_are_made_once_and_forgotten_when_others_need_their_bytes() -> None:
    made: list[tuple[str, int]] = []

    @remembered(100, limit_bytes=10_000)
    def text(letter: str, count: int) -> str:
        made.append((letter, count))
        return letter * count

    assert text("a", 3) == "aaa" == text("a", 3)
    assert made == [("a", 3)]
    assert len(text("b", 1_790)) == 1_790  # 9,950 bytes: nothing fits beside it
    assert text("a", 3) == "aaa"
    assert made == [("a", 3), ("b", 1_790), ("a", 3)]
