"""Random documents for rules that look at selections: every syntax of a selection, by a schema in which much overlaps.

Names, aliases and arguments are few, so that fields meet; two of five documents are valid. Fragments spread each other also in circles,
repeat their names or are missing, and fields may be unknown, or lack or have selections where they should not: no rule may rely on another.
"""

from __future__ import annotations

from random import Random

from graphql import GraphQLInterfaceType, GraphQLObjectType, build_schema, get_named_type, is_composite_type
from hypothesis import strategies as st

SCHEMA = build_schema("""
    interface Node { id: ID! x(n: Int, o: In): String y: Int child: Node kids: [Node] }
    interface Named { x(n: Int, o: In): String child: Node }
    input In { a: Int b: [In] }
    enum E { P Q }
    type A implements Node & Named {
      id: ID! x(n: Int, o: In): String y: Int z: E child: A kids: [Node] other: B node: Node any: Any
    }
    type B implements Node { id: ID! x(n: Int, o: In): String y: Int z: String child: B kids: [Node] other: A any: [Any] }
    type C { id: ID x: Int y: String! z: E! child: C kids: [C!] node: Node! other: B! }
    union Any = A | B | C
    type Query { node: Node named: Named any: Any a: A b: B c: C q: Query x: Int y: Int }
    type Mutation { node: Node any: Any }
""")

# Object types that differ in nothing, so that only which of them a field is asked of decides whether it may meet another.
TYPES = build_schema(
    "interface I { r: I s: I x: String a: String n: Int } type Query { r: I }"
    + "".join(f"type T{i} implements I {{ r: I s: I x: String a: String n: Int }}" for i in range(200))
)

ROOTS = {"query": "Query", "mutation": "Mutation", "subscription": "Nothing"}
PARENTS = ("Node", "Named", "A", "B", "C", "Any")
ALIASES = ("x", "y", "child", "k")
WRONG_FIELDS = ("child", "kids", "other", "any", "x", "z", "nope")
ARGUMENTS = (
    *("(n: 1)", "(n: $v)", "(n: 1.0)", "(n: P)", '(n: "1")', '(n: """1""")', "(n: [1])", "(n: true)"),
    *("(o: {a: 1, b: []})", "(o: {b: [], a: 1})", "(n: 1, o: null)", "(o: null, n: 1)"),
)
DIRECTIVES = (" @stream", " @stream(initialCount: 1)", " @include(if: $b) @stream")
META = ("kind", "name", "t: name", "description", "t: description", "fields { t: name }", "fields { t: isDeprecated }", "ofType { name }")


def documents() -> st.SearchStrategy[str]:
    return st.integers(0, 2**63).map(lambda seed: _Writer(Random(seed)).document())


def crossings() -> st.SearchStrategy[str]:
    """Documents of few names and many types, in which one leaf in some is another field: what may meet then matters."""
    return st.integers(0, 2**63).map(lambda seed: _Crossing(Random(seed)).document())


class _Crossing:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.parents = ("", "I", *(f"T{i}" for i in range(random.randint(1, 3))))
        self.others = random.choice((0.02, 0.05, 0.15))
        self.leaves = ("x: a",) * 6 + ("x: n",)
        self.fragments = random.choice((0, 0, 2, 4, 6))
        self.width = random.choice((2, 3))

    def document(self) -> str:
        depth = self.random.randint(2, 5)
        written = [f"{{ r {{ {self.selections(depth)} }} }}"]
        for i in range(self.fragments):
            parent = self.random.choice(self.parents[1:])
            written.append(f"fragment F{i} on {parent} {{ {self.selections(self.random.randint(1, depth))} }}")
        return " ".join(written)

    def selections(self, depth: int) -> str:
        return " ".join(self.selection(depth) for _ in range(self.random.randint(1, self.width)))

    def selection(self, depth: int) -> str:
        if self.fragments and self.random.random() < 0.2:
            return f"...F{self.random.randrange(self.fragments)}"
        parent = self.random.choice(self.parents)
        inner = self.field(depth)
        return f"... on {parent} {{ {inner} }}" if parent else inner

    def field(self, depth: int) -> str:
        if depth == 0:
            return self.random.choice(self.leaves) if self.random.random() < self.others else "x"
        return f"{self.random.choice('rrrs')} {{ {self.selections(depth - 1)} }}"


class _Writer:
    """One document. What it is rich in differs between documents."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.fragments = random.randint(0, 4)
        self.aliases = random.choice((0.02, 0.1, 0.3))
        self.arguments = random.choice((0, 0.1, 0.3))
        self.directives = random.choice((0, 0, 0, 0.03))
        self.spreads = random.choice((0.1, 0.3))
        self.mistakes = random.choice((0, 0, 0.05))

    def document(self) -> str:
        random = self.random
        written = []
        for i in range(random.choice((1, 1, 1, 2))):
            kind = random.choice((*("query",) * 20, "mutation", "subscription"))
            written.append(f"{kind} O{i} {self.selections(ROOTS[kind], random.randint(2, 5))}")
        for i in range(self.fragments):
            parent = random.choice(PARENTS if self.often(0.95) else ("Query", "Missing"))
            name = i if self.often(0.9) else 0
            written.append(f"fragment F{name} on {parent} {self.selections(parent, random.randint(1, 3))}")
        random.shuffle(written)
        return " ".join(written)

    def often(self, probability: float) -> bool:
        return self.random.random() < probability

    def selections(self, parent: str, depth: int) -> str:
        count = self.random.randint(1, 4 if depth > 2 else 3)
        return "{ " + " ".join(self.selection(parent, depth) for _ in range(count)) + " }"

    def selection(self, parent: str, depth: int) -> str:
        if self.fragments and self.often(self.spreads):
            return f"...F{self.random.randrange(self.fragments + self.often(0.03))}"
        if depth == 0 or self.often(0.7):
            return self.field(parent, depth)
        if self.often(0.15):
            return f"... {self.selections(parent, depth - 1)}"
        narrower = self.random.choice(PARENTS if self.often(0.95) else ("Query", "Missing", "In", "Int"))
        return f"... on {narrower} {self.selections(narrower, depth - 1)}"

    def field(self, parent: str, depth: int) -> str:
        if parent == "Query" and self.often(0.06):
            return self.introspection()
        name, below = self.name_of_field(parent, depth)
        alias = f"{self.random.choice(ALIASES)}: " if self.often(self.aliases) else ""
        arguments = self.random.choice(ARGUMENTS) if name in ("x", "child") and self.often(self.arguments) else ""
        directives = self.random.choice(DIRECTIVES) if self.often(self.directives) else ""
        has_selections = (below is not None) != self.often(self.mistakes)
        selections = f" {self.selections(below or 'A', depth - 1)}" if has_selections and depth > 0 else ""
        return f"{alias}{name}{arguments}{directives}{selections}"

    def name_of_field(self, parent: str, depth: int) -> tuple[str, str | None]:
        type_ = SCHEMA.get_type(parent)
        fields = type_.fields if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) else {}
        types = {name: get_named_type(field.type) for name, field in fields.items()}
        if self.often(self.mistakes):
            types = {name: types.get(name, SCHEMA.type_map["Int"]) for name in WRONG_FIELDS}
        branches = [name for name, named in types.items() if is_composite_type(named)]
        leaves = [name for name in types if name not in branches]
        if branches and depth > 0 and (not leaves or self.often(0.55)):
            name = self.random.choice(branches)
            return name, types[name].name
        return (self.random.choice(leaves) if leaves and self.often(0.95) else "__typename"), None

    def introspection(self) -> str:
        alias = f"{self.random.choice('pq')}: " if self.often(0.4) else ""
        of_type = " ".join(self.random.choice(META) for _ in range(self.random.randint(1, 3)))
        if self.often(0.5):
            return f'{alias}__type(name: "A") {{ {of_type} }}'
        types = self.random.choice(("types", "queryType", "t: types", "t: queryType"))
        return f"{alias}__schema {{ {types} {{ {of_type} }} }}"
