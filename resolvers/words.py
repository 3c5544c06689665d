"""What the demo data is written with: names by language, topics, texts, forums, comments."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where somebody comes from. A name is (as written,) or (as written, in Latin letters)."""

    language: str
    share: int
    female: tuple[tuple[str, ...], ...]
    male: tuple[tuple[str, ...], ...]
    family: tuple[tuple[str, ...], ...]
    family_first: bool = False


def _names(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(name.replace("_", " ").split("=")) for name in text.split())


PLACES = (
    Place(
        "en",
        30,
        _names("Olivia Amelia Grace Ruby Hannah Chloe Siobhan Naomi Imogen Tessa"),
        _names("Oliver Jack Harry Noah Theo Callum Samuel Elijah Owen Dylan"),
        _names("Smith Walker Hughes Okafor Bennett Murphy O'Connor=OConnor Clarke Reid Fletcher Osei Whitfield"),
    ),
    Place(
        "es",
        16,
        _names("Lucía=Lucia Martina Carmen Inés=Ines Paloma Ximena Sofía=Sofia Pilar"),
        _names("Mateo Hugo Álvaro=Alvaro Joaquín=Joaquin Diego Andrés=Andres Tomás=Tomas Emilio"),
        _names("García=Garcia Fernández=Fernandez Muñoz=Munoz Romero Ibáñez=Ibanez Castro Peña=Pena Delgado"),
    ),
    Place(
        "de",
        14,
        _names("Emma Mia Lina Frieda Käthe=Kaethe Johanna Anneliese Jördis=Joerdis"),
        _names("Ben Jonas Emil Jörg=Joerg Matthias Till Günther=Guenther Lukas"),
        _names("Müller=Mueller Schäfer=Schaefer Weiß=Weiss Krüger=Krueger Vogt Brandt Lehmann Böhm=Boehm"),
    ),
    Place(
        "fr",
        12,
        _names("Louise Chloé=Chloe Manon Zoé=Zoe Élodie=Elodie Camille Aïcha=Aicha Margaux"),
        _names("Gabriel Léo=Leo Hugo Rémi=Remi Étienne=Etienne Théo=Theo Baptiste Moussa"),
        _names("Martin Lefèvre=Lefevre Dubois Girard Moreau Diallo Béranger=Beranger Chevalier"),
    ),
    Place(
        "pt",
        8,
        _names("Beatriz Inês=Ines Leonor Júlia=Julia Conceição=Conceicao Mafalda"),
        _names("João=Joao Tiago Rafael Caetano Luís=Luis Estêvão=Estevao"),
        _names("Silva Araújo=Araujo Gonçalves=Goncalves Magalhães=Magalhaes Teixeira Moura"),
    ),
    Place(
        "ja",
        6,
        _names("陽葵=Himari 結衣=Yui さくら=Sakura 美咲=Misaki 凛=Rin"),
        _names("蓮=Ren 大翔=Hiroto 悠真=Yuma 颯太=Sota 樹=Itsuki"),
        _names("佐藤=Sato 鈴木=Suzuki 高橋=Takahashi 田中=Tanaka 渡辺=Watanabe 小林=Kobayashi"),
        family_first=True,
    ),
    Place(
        "zh",
        5,
        _names("梓涵=Zihan 诗涵=Shihan 欣怡=Xinyi 雨桐=Yutong 佳琪=Jiaqi"),
        _names("浩宇=Haoyu 子轩=Zixuan 俊杰=Junjie 宇航=Yuhang 明哲=Mingzhe"),
        _names("王=Wang 李=Li 张=Zhang 刘=Liu 陈=Chen 𠮷=Ji"),
        family_first=True,
    ),
    Place(
        "ru",
        5,
        _names("Анна=Anna Мария=Maria Екатерина=Ekaterina Юлия=Yulia Дарья=Darya"),
        _names("Иван=Ivan Дмитрий=Dmitry Алексей=Alexey Михаил=Mikhail Егор=Egor"),
        _names("Орлов=Orlov Беленко=Belenko Ткаченко=Tkachenko Черных=Chernykh Седых=Sedykh"),
    ),
    Place(
        "ar",
        4,
        _names("ليلى=Layla فاطمة=Fatima نور=Nour مريم=Maryam هبة=Hiba"),
        _names("يوسف=Youssef عمر=Omar كريم=Karim طارق=Tariq حسن=Hassan"),
        _names("حداد=Haddad منصور=Mansour العلي=Alali خوري=Khoury نجار=Najjar"),
    ),
)

TOPIC_LANGUAGES = ("en", "es", "de", "fr", "pt")

TOPICS: tuple[tuple[tuple[str, str, str, str, str], tuple[str, ...]], ...] = (
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

TEXTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
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

FORUMS = (
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

COMMENTS = (
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
