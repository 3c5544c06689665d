"""Demo data: a small social network, invented from a seed. The same numbers and seed give the same rows, on every machine.

Skewed like a real one: few people have most followers, few write most posts, few posts get most likes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, islice
from random import Random
from typing import NamedTuple, TypeVar

from gateway.stores.base import Collection, Row, Value
from resolvers.events import events
from resolvers.graph import follows, likes, wrote
from resolvers.posts import posts
from resolvers.users import users

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
        self.place = array("B", rng.choices(range(len(_PLACES)), weights=[p.share for p in _PLACES], k=number))
        self._seed = seed

    def rows(self) -> Iterator[Row]:
        rng = Random(f"{self._seed}:users")
        for at in range(self.number):
            place = _PLACES[self.place[at]]
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
            spoken = _PLACES[self._people.place[self.author[at]]].language
            topic, tags = rng.choice(_TOPICS)
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
                rng.choice(_FORUMS) if rng.random() < 0.6 else None,
                list(tags[: rng.randrange(len(tags) + 1)]),
                bool(self.published[at]),
                _time(written),
                _time(written if rng.random() < 0.75 else rng.randrange(written, _EDITED_BY)),
            )


def _text(rng: Random, language: str, topic: Sequence[str]) -> tuple[str, str]:
    titles, sentences = _TEXTS[language]
    subject = topic[_TOPIC_LANGUAGES.index(language)] if language in _TOPIC_LANGUAGES else topic[0]
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
                yield str(done), "JOIN", str(actor + 1), None, _time(at), {"forum": rng.choice(_FORUMS)}
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
        return {"text": rng.choice(_COMMENTS)}
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


# ---------------------------------------------------------------------------------------------------------------- words


class _Place(NamedTuple):
    """Where somebody comes from. A name is (as written,) or (as written, in Latin letters)."""

    language: str
    share: int
    female: tuple[tuple[str, ...], ...]
    male: tuple[tuple[str, ...], ...]
    family: tuple[tuple[str, ...], ...]
    family_first: bool = False


def _names(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(name.replace("_", " ").split("=")) for name in text.split())


_PLACES = (
    _Place(
        "en",
        30,
        _names("Olivia Amelia Grace Ruby Hannah Chloe Siobhan Naomi Imogen Tessa"),
        _names("Oliver Jack Harry Noah Theo Callum Samuel Elijah Owen Dylan"),
        _names("Smith Walker Hughes Okafor Bennett Murphy O'Connor=OConnor Clarke Reid Fletcher Osei Whitfield"),
    ),
    _Place(
        "es",
        16,
        _names("Lucía=Lucia Martina Carmen Inés=Ines Paloma Ximena Sofía=Sofia Pilar"),
        _names("Mateo Hugo Álvaro=Alvaro Joaquín=Joaquin Diego Andrés=Andres Tomás=Tomas Emilio"),
        _names("García=Garcia Fernández=Fernandez Muñoz=Munoz Romero Ibáñez=Ibanez Castro Peña=Pena Delgado"),
    ),
    _Place(
        "de",
        14,
        _names("Emma Mia Lina Frieda Käthe=Kaethe Johanna Anneliese Jördis=Joerdis"),
        _names("Ben Jonas Emil Jörg=Joerg Matthias Till Günther=Guenther Lukas"),
        _names("Müller=Mueller Schäfer=Schaefer Weiß=Weiss Krüger=Krueger Vogt Brandt Lehmann Böhm=Boehm"),
    ),
    _Place(
        "fr",
        12,
        _names("Louise Chloé=Chloe Manon Zoé=Zoe Élodie=Elodie Camille Aïcha=Aicha Margaux"),
        _names("Gabriel Léo=Leo Hugo Rémi=Remi Étienne=Etienne Théo=Theo Baptiste Moussa"),
        _names("Martin Lefèvre=Lefevre Dubois Girard Moreau Diallo Béranger=Beranger Chevalier"),
    ),
    _Place(
        "pt",
        8,
        _names("Beatriz Inês=Ines Leonor Júlia=Julia Conceição=Conceicao Mafalda"),
        _names("João=Joao Tiago Rafael Caetano Luís=Luis Estêvão=Estevao"),
        _names("Silva Araújo=Araujo Gonçalves=Goncalves Magalhães=Magalhaes Teixeira Moura"),
    ),
    _Place(
        "ja",
        6,
        _names("陽葵=Himari 結衣=Yui さくら=Sakura 美咲=Misaki 凛=Rin"),
        _names("蓮=Ren 大翔=Hiroto 悠真=Yuma 颯太=Sota 樹=Itsuki"),
        _names("佐藤=Sato 鈴木=Suzuki 高橋=Takahashi 田中=Tanaka 渡辺=Watanabe 小林=Kobayashi"),
        family_first=True,
    ),
    _Place(
        "zh",
        5,
        _names("梓涵=Zihan 诗涵=Shihan 欣怡=Xinyi 雨桐=Yutong 佳琪=Jiaqi"),
        _names("浩宇=Haoyu 子轩=Zixuan 俊杰=Junjie 宇航=Yuhang 明哲=Mingzhe"),
        _names("王=Wang 李=Li 张=Zhang 刘=Liu 陈=Chen 𠮷=Ji"),
        family_first=True,
    ),
    _Place(
        "ru",
        5,
        _names("Анна=Anna Мария=Maria Екатерина=Ekaterina Юлия=Yulia Дарья=Darya"),
        _names("Иван=Ivan Дмитрий=Dmitry Алексей=Alexey Михаил=Mikhail Егор=Egor"),
        _names("Орлов=Orlov Беленко=Belenko Ткаченко=Tkachenko Черных=Chernykh Седых=Sedykh"),
    ),
    _Place(
        "ar",
        4,
        _names("ليلى=Layla فاطمة=Fatima نور=Nour مريم=Maryam هبة=Hiba"),
        _names("يوسف=Youssef عمر=Omar كريم=Karim طارق=Tariq حسن=Hassan"),
        _names("حداد=Haddad منصور=Mansour العلي=Alali خوري=Khoury نجار=Najjar"),
    ),
)

_TOPIC_LANGUAGES = ("en", "es", "de", "fr", "pt")

_TOPICS: tuple[tuple[tuple[str, str, str, str, str], tuple[str, ...]], ...] = (
    (("sourdough", "masa madre", "Sauerteig", "levain", "massa mãe"), ("baking", "food", "slow")),
    (("night trains", "trenes nocturnos", "Nachtzüge", "trains de nuit", "comboios noturnos"), ("travel", "rail")),
    (("city bicycles", "bicicletas urbanas", "Stadträder", "vélos de ville", "bicicletas urbanas"), ("cycling", "city", "diy")),
    (("balcony tomatoes", "tomates en el balcón", "Balkontomaten", "tomates de balcon", "tomates na varanda"), ("garden", "food")),
    (("mechanical watches", "relojes mecánicos", "mechanische Uhren", "montres mécaniques", "relógios mecânicos"), ("craft", "repair")),
    (("graph databases", "bases de datos de grafos", "Graphdatenbanken", "bases de graphes", "bases de dados de grafos"), ("data", "code")),
    (("open source", "código abierto", "freie Software", "logiciel libre", "código aberto"), ("code", "community")),
    (("long-distance walking", "senderismo", "Weitwandern", "la grande randonnée", "caminhadas longas"), ("outdoors", "travel", "slow")),
    (("jazz records", "discos de jazz", "Jazzplatten", "disques de jazz", "discos de jazz"), ("music", "vinyl")),
    (("winter swimming", "nadar en invierno", "Winterschwimmen", "la nage hivernale", "nadar no inverno"), ("sport", "outdoors")),
    (("public libraries", "bibliotecas públicas", "Büchereien", "bibliothèques", "bibliotecas públicas"), ("books", "city")),
    (("board games", "juegos de mesa", "Brettspiele", "jeux de société", "jogos de tabuleiro"), ("games", "community")),
    (("street photography", "fotografía callejera", "Straßenfotografie", "photo de rue", "fotografia de rua"), ("photo", "city")),
    (("sharks", "tiburones", "Haie", "requins", "tubarões"), ("sea", "nature")),
    (("espresso", "café expreso", "Espresso", "expresso", "café expresso"), ("coffee", "food")),
    (("telescopes", "telescopios", "Teleskope", "télescopes", "telescópios"), ("sky", "science")),
    (("old maps", "mapas antiguos", "alte Karten", "cartes anciennes", "mapas antigos"), ("history", "travel")),
    (("knitting", "tejer", "Stricken", "le tricot", "tricô"), ("craft", "slow")),
)

_TEXTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "en": (
        ("Notes on {}", "What nobody told me about {}", "A beginner's week with {}", "Why {}?", "{}: five years later", "In praise of {}"),
        (
            "It took three attempts, and the third was the one that worked.",
            "Ask me anything below, I answer in the evenings.",
            "Most of what I had read about it turned out to be wrong.",
            "Cheap tools are fine to begin with.",
            "Thanks to everyone who wrote 💌 after the last one.",
        ),
    ),
    "es": (
        ("Apuntes sobre {}", "¿Por qué {}?", "Una semana con {}", "Lo que aprendí de {}"),
        (
            "Me costó tres intentos.",
            "Mañana os cuento cómo sigue.",
            "Casi todo lo que había leído era mentira.",
            "¡Gracias por los comentarios!",
        ),
    ),
    "de": (
        ("Notizen: {}", "Warum {}?", "Eine Woche {}", "{} für Anfänger"),
        (
            "Beim dritten Versuch hat es geklappt.",
            "Fragen gern unten, ich antworte abends.",
            "Für den Anfang reicht billiges Werkzeug.",
            "Schöne Grüße aus Görlitz!",
        ),
    ),
    "fr": (
        ("Carnet : {}", "Pourquoi {} ?", "Une semaine avec {}", "{}, cinq ans après"),
        (
            "Il m'a fallu trois essais.",
            "La suite demain, si la pluie s'arrête.",
            "Tout ce que j'avais lu était faux, ou presque.",
            "Merci à celles et ceux qui ont écrit.",
        ),
    ),
    "pt": (
        ("Notas sobre {}", "Porquê {}?", "Uma semana com {}"),
        ("À terceira foi de vez.", "Amanhã conto o resto.", "Obrigado pelos comentários!"),
    ),
    "ja": (
        ("{}のこと", "はじめての{}", "{}と一週間"),
        ("三度目でうまくいきました。", "続きはまた明日。", "コメントをありがとうございます🌸"),
    ),
    "zh": (("关于{}的笔记", "为什么是{}?", "和{}在一起的一周"), ("试了三次才成功。", "明天继续写。", "谢谢大家的留言!")),
    "ru": (
        ("Заметки: {}", "Почему {}?", "Неделя и {}"),
        ("Получилось с третьего раза.", "Продолжение завтра.", "Спасибо всем, кто написал."),
    ),
    "ar": (("ملاحظات عن {}", "لماذا {}؟", "أسبوع مع {}"), ("نجحت في المحاولة الثالثة.", "أكمل غدًا.", "شكرًا لكل من كتب.")),
}

_FORUMS = (
    "Kitchen table",
    "Slow travel",
    "Bicycle workshop",
    "Window gardens",
    "Graphs & data",
    "Sea and shore",
    "Sunday photographers",
    "Café Größenwahn",
    "読書会",
    "100% vinyl",
)

_COMMENTS = (
    "Saved for the weekend.",
    "Same here, but with rain.",
    "Which one did you buy in the end?",
    "¡Qué bueno!",
    "Danke, genau das habe ich gesucht.",
    "👏👏",
    "I disagree, politely.",
    "すてき!",
    "More, please.",
)
