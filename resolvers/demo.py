"""Demo data: a small social network, invented from a seed. The same numbers and seed give the same rows, on every machine.

Skewed like a real one: few people have most followers, few write most posts, few posts get most likes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, islice
from random import Random
from typing import TypeVar

from gateway.stores.base import Collection, Row, Value
from resolvers.events import events
from resolvers.graph import follows, likes, members, wrote
from resolvers.posts import posts
from resolvers.users import users
from resolvers.words import COMMENTS, FORUMS, PLACES, TEXTS, TOPIC_LANGUAGES, TOPICS

POSTS_PER_USER = 10
EVENTS_PER_USER = 45
ROWS_PER_BATCH = 2_000

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)  # no clock: people join in the first half year, then write, then others read
_DAY = 86_400_000  # ms
_JOINED_BY, _WRITTEN_BY, _EDITED_BY = 180 * _DAY, 700 * _DAY, 730 * _DAY

_Batch = tuple[Collection, Sequence[Row]]
_T = TypeVar("_T")


def demo(number: int, seed: int, *, posts_per_user: int = POSTS_PER_USER, events_per_user: int = EVENTS_PER_USER) -> Iterator[_Batch]:
    """Give the rows of ``number`` users and all that they do, in batches. Likes, authorship and follows agree with events and posts.

    Memory grows by some bytes per user and post, and by one number per like; rows are made as they are asked for.
    """
    people = _People(number, seed)
    for rows in _batched(people.rows(), ROWS_PER_BATCH):
        yield users, rows
        yield members, [(row[0], True) for row in rows]

    written = _Posts(number * posts_per_user, people, seed)
    for rows in _batched(written.rows(), ROWS_PER_BATCH):
        yield posts, rows
        yield wrote, [(row[1], row[0]) for row in rows]

    total = number * events_per_user
    acts = 0
    for edges in _batched(_follow_edges(people, seed, average=max(1, events_per_user // 5)), ROWS_PER_BATCH):
        yield follows, edges
        edges = edges[: total - acts]
        yield events, [(str(acts + n), "FOLLOW", a, None, since, {"followee_id": b}) for n, (a, b, since) in enumerate(edges, start=1)]
        acts += len(edges)

    for rows in _batched(_acts(acts, total, people, written, seed), ROWS_PER_BATCH):
        yield events, rows
        yield likes, [(row[2], row[3], row[4]) for row in rows if row[1] == "LIKE"]


# --------------------------------------------------------------------------------------------------------------- people


class _People:
    """Who there is. What later rows need of each of them is kept: when they joined, how busy and how popular they are."""

    def __init__(self, number: int, seed: int) -> None:
        rng = Random(f"{seed}:people")
        self.number = number
        self.joined = array("q", sorted(rng.randrange(_JOINED_BY) for _ in range(number)))
        self.popular = _power_law(rng, number, 0.9)
        self.busy = _power_law(rng, number, 0.7)
        self.place = array("B", rng.choices(range(len(PLACES)), weights=[p.share for p in PLACES], k=number))
        self._seed = seed

    def rows(self) -> Iterator[Row]:
        rng = Random(f"{self._seed}:users")
        for at in range(self.number):
            place = PLACES[self.place[at]]
            gender = rng.choices(("female", "male", "nonbinary", None), weights=(44, 44, 3, 9))[0]
            given = rng.choice(place.male if gender == "male" else place.female if gender == "female" else place.male + place.female)
            family = rng.choice(place.family)
            key = str(at + 1)
            joined = self.joined[at]
            yield (
                key,
                f"{family[0]}{given[0]}" if place.family_first else f"{given[0]} {family[0]}",
                f"{given[-1]}.{family[-1]}{key}@example.org".lower().replace(" ", "").replace("'", ""),
                rng.random() > 0.06,
                gender,
                None if rng.random() < 0.15 else _date(rng),
                _languages(rng, place.language),
                _time(joined),
                _time(joined if rng.random() < 0.7 else rng.randrange(joined, _EDITED_BY)),
            )


def _languages(rng: Random, first: str) -> list[str]:
    if rng.random() < 0.03:
        return []
    others = [language for language in ("en", "es", "fr") if language != first and rng.random() < (0.6 if language == "en" else 0.1)]
    return [first, *others]


def _follow_edges(people: _People, seed: int, *, average: int) -> Iterator[tuple[str, str, str]]:
    rng = Random(f"{seed}:follows")
    everybody = range(people.number)
    for follower in everybody:
        wanted = min(int(rng.paretovariate(1.6) * average * 0.4), people.number // 2)
        chosen = dict.fromkeys(rng.choices(everybody, cum_weights=people.popular, k=wanted))
        chosen.pop(follower, None)
        for followee in chosen:
            since = rng.randrange(max(people.joined[follower], people.joined[followee]), _WRITTEN_BY)
            yield str(follower + 1), str(followee + 1), _time(since)


# ---------------------------------------------------------------------------------------------------------------- posts


class _Posts:
    """What was written. What events need of each post is kept: who wrote it, when, whether it is out, how popular it is."""

    def __init__(self, number: int, people: _People, seed: int) -> None:
        rng = Random(f"{seed}:writing")
        self.number = number
        self.author = array("l", rng.choices(range(people.number), cum_weights=people.busy, k=number) if number else ())
        self.written = array("q", sorted(rng.randrange(_JOINED_BY, _WRITTEN_BY) for _ in range(number)))
        self.published = bytearray(rng.random() > 0.08 for _ in range(number))
        self.popular = _power_law(rng, number, 0.85)
        self._people = people
        self._seed = seed

    def rows(self) -> Iterator[Row]:
        rng = Random(f"{self._seed}:posts")
        for at in range(self.number):
            written = self.written[at]
            spoken = PLACES[self._people.place[self.author[at]]].language
            topic, tags = rng.choice(TOPICS)
            if rng.random() < 0.15:
                image: str | None = f"photo{at + 1}.jpg"
                title, content, language = f"photo{at + 1}.jpg", "", None
            else:
                language = spoken if rng.random() < 0.7 else "en"
                image = f"{topic[0].replace(' ', '-')}-{at + 1}.jpg" if rng.random() < 0.2 else None
                title, content = _text(rng, language, topic)
            yield (
                str(at + 1),
                str(self.author[at] + 1),
                title,
                content,
                image,
                language,
                rng.choice(FORUMS) if rng.random() < 0.6 else None,
                list(tags[: rng.randrange(len(tags) + 1)]),
                bool(self.published[at]),
                _time(written),
                _time(written if rng.random() < 0.75 else rng.randrange(written, _EDITED_BY)),
            )


def _text(rng: Random, language: str, topic: Sequence[str]) -> tuple[str, str]:
    titles, sentences = TEXTS[language]
    subject = topic[TOPIC_LANGUAGES.index(language)] if language in TOPIC_LANGUAGES else topic[0]
    content = " ".join(rng.sample(sentences, rng.randrange(1, len(sentences) + 1)))
    return rng.choice(titles).format(subject), content


# --------------------------------------------------------------------------------------------------------------- events


def _acts(done: int, total: int, people: _People, written: _Posts, seed: int) -> Iterator[Row]:
    """Give the events that are no FOLLOW, with the ids after ``done`` up to ``total``. Nobody likes a post twice, nor their own."""
    rng = Random(f"{seed}:events")
    liked: set[int] = set()
    while done < total:
        count = min(ROWS_PER_BATCH, total - done)
        actors = rng.choices(range(people.number), cum_weights=people.busy, k=count)
        about = rng.choices(range(written.number), cum_weights=written.popular, k=count) if written.number else [-1] * count
        for kind, actor, post in zip(rng.choices(_KINDS, weights=_SHARES, k=count), actors, about, strict=True):
            done += 1
            if kind == "JOIN" or post < 0 or not written.published[post]:
                at = rng.randrange(people.joined[actor], _EDITED_BY)
                yield str(done), "JOIN", str(actor + 1), None, _time(at), {"forum": rng.choice(FORUMS)}
                continue
            if kind == "LIKE":
                pair = actor * written.number + post
                if written.author[post] == actor or pair in liked:
                    kind = "VIEW"
                liked.add(pair)
            at = written.written[post] + min(int(rng.expovariate(1 / (4 * _DAY))), 30 * _DAY)
            yield str(done), kind, str(actor + 1), str(post + 1), _time(at), _payload(rng, kind)


_KINDS = ("VIEW", "LIKE", "COMMENT", "SHARE", "JOIN")
_SHARES = (44, 30, 14, 6, 6)


def _payload(rng: Random, kind: str) -> dict[str, Value]:
    if kind == "VIEW":
        return {"seconds": int(rng.expovariate(1 / 40)) + 1, "device": rng.choice(("phone", "laptop", "tablet"))}
    if kind == "COMMENT":
        return {"text": rng.choice(COMMENTS)}
    if kind == "SHARE":
        return {"to": rng.choice(("feed", "message", "mail")), "public": rng.random() < 0.5}
    return {}


# -------------------------------------------------------------------------------------------------------------- helpers


def _power_law(rng: Random, number: int, exponent: float) -> array[float]:
    """Return cumulative weights for ``number`` things in which the n-th greatest has n to the power of minus ``exponent``."""
    weights = array("d", (rank**-exponent for rank in range(1, number + 1)))
    rng.shuffle(weights)
    return array("d", accumulate(weights))


def _time(at: int) -> str:
    """Return a wire time, ``at`` milliseconds after the epoch of this data."""
    return (EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds")[:23] + "Z"


def _date(rng: Random) -> str:
    return f"{rng.randrange(1955, 2008)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"


def _batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
