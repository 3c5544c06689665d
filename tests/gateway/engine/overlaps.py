"""The documents of graphql-core's own tests of OverlappingFieldsCanBeMergedRule (MIT), with what graphql-core 3.3.2 says about each.

Left out are those with arguments of fragments, which the gateway does not read. ``conflict`` is what the first message says.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphql import GraphQLSchema, build_schema

PETS = build_schema("""
    interface Mammal { mother: Mammal father: Mammal }
    interface Pet { name(surname: Boolean): String }
    interface Canine implements Mammal { name(surname: Boolean): String mother: Canine father: Canine }
    enum DogCommand { SIT HEEL DOWN }
    type Dog implements Pet & Mammal & Canine {
      name(surname: Boolean): String
      nickname: String
      barkVolume: Int
      doesKnowCommand(dogCommand: DogCommand): Boolean
      isAtLocation(x: Int, y: Int): Boolean
      mother: Dog
      father: Dog
    }
    type Cat implements Pet { name(surname: Boolean): String nickname: String meowsVolume: Int }
    type Human { name(surname: Boolean): String pets: [Pet] relatives: [Human]! }
    type QueryRoot { human(id: ID): Human dog: Dog cat: Cat pet: Pet }
    schema { query: QueryRoot }
""")

BOXES = build_schema("""
    interface SomeBox { deepBox: SomeBox unrelatedField: String }
    type StringBox implements SomeBox {
      scalar: String
      deepBox: StringBox
      unrelatedField: String
      listStringBox: [StringBox]
      stringBox: StringBox
      intBox: IntBox
    }
    type IntBox implements SomeBox {
      scalar: Int
      deepBox: IntBox
      unrelatedField: String
      listStringBox: [StringBox]
      stringBox: StringBox
      intBox: IntBox
    }
    interface NonNullStringBox1 { scalar: String! }
    type NonNullStringBox1Impl implements SomeBox & NonNullStringBox1 { scalar: String! unrelatedField: String deepBox: SomeBox }
    interface NonNullStringBox2 { scalar: String! }
    type NonNullStringBox2Impl implements SomeBox & NonNullStringBox2 { scalar: String! unrelatedField: String deepBox: SomeBox }
    type Connection { edges: [Edge] }
    type Edge { node: Node }
    type Node { id: ID name: String }
    type Query { someBox: SomeBox connection: Connection }
""")

ARGUMENTS = build_schema("""
    input SomeInput { a: String b: String }
    type Query { someField(a: String, b: String, arg: SomeInput): String }
""")

KEYWORDS = build_schema("type Foo { constructor: String class: String } type Query { foo: Foo }")


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    schema: GraphQLSchema
    document: str
    conflict: str | None

    def __str__(self) -> str:
        return self.name


CASES = (
    Case(
        "unique fields",
        PETS,
        "fragment uniqueFields on Dog { name nickname }",
        None,
    ),
    Case(
        "identical fields",
        PETS,
        "fragment mergeIdenticalFields on Dog { name name }",
        None,
    ),
    Case(
        "identical fields with identical args",
        PETS,
        ("fragment mergeIdenticalFieldsWithIdenticalArgs on Dog { doesKnowCommand(dogCommand: SIT) doesKnowCommand(dogCommand: SIT) }"),
        None,
    ),
    Case(
        "identical fields with identical directives",
        PETS,
        "fragment mergeSameFieldsWithSameDirectives on Dog { name @include(if: true) name @include(if: true) }",
        None,
    ),
    Case(
        "different args with different aliases",
        PETS,
        (
            "fragment differentArgsWithDifferentAliases on Dog { knowsSit: doesKnowCommand(dogCommand: SIT) knowsDown: "
            "doesKnowCommand(dogCommand: DOWN) }"
        ),
        None,
    ),
    Case(
        "different directives with different aliases",
        PETS,
        (
            "fragment differentDirectivesWithDifferentAliases on Dog { nameIfTrue: name @include(if: true) nameIfFalse: name "
            "@include(if: false) }"
        ),
        None,
    ),
    Case(
        "different skip or include directives accepted",
        PETS,
        "fragment differentDirectivesWithDifferentAliases on Dog { name @include(if: true) name @include(if: false) }",
        None,
    ),
    Case(
        "same stream directives supported",
        PETS,
        (
            'fragment differentDirectivesWithDifferentAliases on Dog { name @stream(label: "streamLabel", initialCount: 1) name '
            '@stream(label: "streamLabel", initialCount: 1) }'
        ),
        "'name' conflict because they have overlapping stream directives. See https://github.com/graphql/defer-stream-wg/discussions/100",
    ),
    Case(
        "different stream directive label",
        PETS,
        (
            'fragment conflictingArgs on Dog { name @stream(label: "streamLabel", initialCount: 1) name @stream(label: "anotherLabel", '
            "initialCount: 1) }"
        ),
        "'name' conflict because they have overlapping stream directives",
    ),
    Case(
        "different stream directive initial count",
        PETS,
        (
            'fragment conflictingArgs on Dog { name @stream(label: "streamLabel", initialCount: 1) name @stream(label: "streamLabel", '
            "initialCount: 2) }"
        ),
        "'name' conflict because they have overlapping stream directives",
    ),
    Case(
        "different stream directive first missing args",
        PETS,
        'fragment conflictingArgs on Dog { name @stream name @stream(label: "streamLabel", initialCount: 1) }',
        "'name' conflict because they have overlapping stream directives",
    ),
    Case(
        "different stream directive second missing args",
        PETS,
        'fragment conflictingArgs on Dog { name @stream(label: "streamLabel", initialCount: 1) name @stream }',
        "'name' conflict because they have overlapping stream directives",
    ),
    Case(
        "different stream directive extra argument",
        PETS,
        (
            'fragment conflictingArgs on Dog { name @stream(label: "streamLabel", initialCount: 1) name @stream(label: "streamLabel", '
            "initialCount: 1, extraArg: true) }"
        ),
        "'name' conflict because they have overlapping stream directives",
    ),
    Case(
        "mix of stream and no stream",
        PETS,
        "fragment conflictingArgs on Dog { name @stream name }",
        "'name' conflict because they have overlapping stream directives",
    ),
    Case(
        "same stream directive both missing args",
        PETS,
        "fragment conflictingArgs on Dog { name @stream name @stream }",
        "'name' conflict because they have overlapping stream directives. See https://github.com/graphql/defer-stream-wg/discussions/100",
    ),
    Case(
        "same aliases with different field targets",
        PETS,
        "fragment sameAliasesWithDifferentFieldTargets on Dog { fido: name fido: nickname }",
        "'fido' conflict because 'name' and 'nickname' are different fields",
    ),
    Case(
        "same aliases allowed on non overlapping fields",
        PETS,
        "fragment sameAliasesWithDifferentFieldTargets on Pet { ... on Dog { name } ... on Cat { name: nickname } }",
        None,
    ),
    Case(
        "alias masking direct field access",
        PETS,
        "fragment aliasMaskingDirectFieldAccess on Dog { name: nickname name }",
        "'name' conflict because 'nickname' and 'name' are different fields",
    ),
    Case(
        "different args second adds an argument",
        PETS,
        "fragment conflictingArgs on Dog { doesKnowCommand doesKnowCommand(dogCommand: HEEL) }",
        "'doesKnowCommand' conflict because they have differing arguments",
    ),
    Case(
        "different args second missing an argument",
        PETS,
        "fragment conflictingArgs on Dog { doesKnowCommand(dogCommand: SIT) doesKnowCommand }",
        "'doesKnowCommand' conflict because they have differing arguments",
    ),
    Case(
        "conflicting arg values",
        PETS,
        "fragment conflictingArgs on Dog { doesKnowCommand(dogCommand: SIT) doesKnowCommand(dogCommand: HEEL) }",
        "'doesKnowCommand' conflict because they have differing arguments",
    ),
    Case(
        "conflicting arg names",
        PETS,
        "fragment conflictingArgs on Dog { isAtLocation(x: 0) isAtLocation(y: 0) }",
        "'isAtLocation' conflict because they have differing arguments",
    ),
    Case(
        "allows different args where no conflict is possible",
        PETS,
        "fragment conflictingArgs on Pet { ... on Dog { name(surname: true) } ... on Cat { name } }",
        None,
    ),
    Case(
        "allows different order of args",
        ARGUMENTS,
        "{ someField(a: null, b: null) someField(b: null, a: null) }",
        None,
    ),
    Case(
        "allows different order of input object fields in arg values",
        ARGUMENTS,
        "{ someField(arg: { a: null, b: null }) someField(arg: { b: null, a: null }) }",
        None,
    ),
    Case(
        "encounters conflict in fragments",
        PETS,
        "{ ...A ...B } fragment A on Type { x: a } fragment B on Type { x: b }",
        "'x' conflict because 'a' and 'b' are different fields",
    ),
    Case(
        "reports each conflict once",
        PETS,
        "{ f1 { ...A ...B } f2 { ...B ...A } f3 { ...A ...B x: c } } fragment A on Type { x: a } fragment B on Type { x: b }",
        "'x' conflict because 'a' and 'b' are different fields",
    ),
    Case(
        "deep conflict",
        PETS,
        "{ field { x: a }, field { x: b } }",
        "'field' conflict because subfields 'x' conflict because 'a' and 'b' are different fields",
    ),
    Case(
        "deep conflict with multiple issues",
        PETS,
        "{ field { x: a y: c }, field { x: b y: d } }",
        "'field' conflict because subfields 'x' conflict because 'a' and 'b' are different fields",
    ),
    Case(
        "very deep conflict",
        PETS,
        "{ field { deepField { x: a } }, field { deepField { x: b } } }",
        "'field' conflict because subfields 'deepField' conflict because subfields 'x' conflict because 'a' and 'b' are different fields",
    ),
    Case(
        "reports deep conflict to nearest common ancestor",
        PETS,
        "{ field { deepField { x: a } deepField { x: b } }, field { deepField { y } } }",
        "'deepField' conflict because subfields 'x' conflict because 'a' and 'b' are different fields",
    ),
    Case(
        "reports deep conflict to nearest common ancestor in fragments",
        PETS,
        (
            "{ field { ...F } field { ...F } } fragment F on T { deepField { deeperField { x: a } deeperField { x: b } }, deepField { "
            "deeperField { y } } }"
        ),
        "'deeperField' conflict because subfields 'x' conflict because 'a' and 'b' are different fields",
    ),
    Case(
        "reports deep conflict in nested fragments",
        PETS,
        (
            "{ field { ...F }, field { ...I } } fragment F on T { x: a ...G } fragment G on T { y: c } fragment I on T { y: d ...J } "
            "fragment J on T { x: b }"
        ),
        "'field' conflict because subfields 'x' conflict because 'a' and 'b' are different fields",
    ),
    Case(
        "reports deep conflict after nested fragments",
        PETS,
        "fragment F on T { ...G } fragment G on T { ...H } fragment H on T { x: a } { x: b ...F }",
        "'x' conflict because 'b' and 'a' are different fields",
    ),
    Case(
        "ignores unknown fragments",
        PETS,
        "{ field ...Unknown ...Known } fragment Known on T { field ...OtherUnknown }",
        None,
    ),
    Case(
        "conflicting return types which potentially overlap",
        BOXES,
        "{ someBox { ...on IntBox { scalar } ...on NonNullStringBox1 { scalar } } }",
        "'scalar' conflict because they return conflicting types 'Int' and 'String!'",
    ),
    Case(
        "compatible return shapes on different return types",
        BOXES,
        "{ someBox { ... on SomeBox { deepBox { unrelatedField } } ... on StringBox { deepBox { unrelatedField } } } }",
        None,
    ),
    Case(
        "disallows differing return types despite no overlap",
        BOXES,
        "{ someBox { ... on IntBox { scalar } ... on StringBox { scalar } } }",
        "'scalar' conflict because they return conflicting types 'Int' and 'String'",
    ),
    Case(
        "reports correctly when a non exclusive follows an exclusive",
        BOXES,
        (
            "{ someBox { ... on IntBox { deepBox { ...X } } } someBox { ... on StringBox { deepBox { ...Y } } } memoed: someBox { ... "
            "on IntBox { deepBox { ...X } } } memoed: someBox { ... on StringBox { deepBox { ...Y } } } other: someBox { ...X } other: "
            "someBox { ...Y } } fragment X on SomeBox { scalar } fragment Y on SomeBox { scalar: unrelatedField }"
        ),
        "'other' conflict because subfields 'scalar' conflict because 'scalar' and 'unrelatedField' are different fields",
    ),
    Case(
        "disallows differing return type nullability despite no overlap",
        BOXES,
        "{ someBox { ... on NonNullStringBox1 { scalar } ... on StringBox { scalar } } }",
        "'scalar' conflict because they return conflicting types 'String!' and 'String'",
    ),
    Case(
        "disallows differing return type list despite no overlap 1",
        BOXES,
        "{ someBox { ... on IntBox { box: listStringBox { scalar } } ... on StringBox { box: stringBox { scalar } } } }",
        "'box' conflict because they return conflicting types '[StringBox]' and 'StringBox'",
    ),
    Case(
        "disallows differing return type list despite no overlap 1 again",
        BOXES,
        "{ someBox { ... on IntBox { box: stringBox { scalar } } ... on StringBox { box: listStringBox { scalar } } } }",
        "'box' conflict because they return conflicting types 'StringBox' and '[StringBox]'",
    ),
    Case(
        "disallows differing subfields",
        BOXES,
        (
            "{ someBox { ... on IntBox { box: stringBox { val: scalar val: unrelatedField } } ... on StringBox { box: stringBox { val: "
            "scalar } } } }"
        ),
        "'val' conflict because 'scalar' and 'unrelatedField' are different fields",
    ),
    Case(
        "disallows differing deep return types despite no overlap",
        BOXES,
        "{ someBox { ... on IntBox { box: stringBox { scalar } } ... on StringBox { box: intBox { scalar } } } }",
        "'box' conflict because subfields 'scalar' conflict because they return conflicting types 'String' and 'Int'",
    ),
    Case(
        "allows non conflicting overlapping types",
        BOXES,
        "{ someBox { ... on IntBox { scalar: unrelatedField } ... on StringBox { scalar } } }",
        None,
    ),
    Case(
        "same wrapped scalar return types",
        BOXES,
        "{ someBox { ...on NonNullStringBox1 { scalar } ...on NonNullStringBox2 { scalar } } }",
        None,
    ),
    Case(
        "allows inline fragments without type condition",
        BOXES,
        "{ a ... { a } }",
        None,
    ),
    Case(
        "compares deep types including list",
        BOXES,
        "{ connection { ...edgeID edges { node { id: name } } } } fragment edgeID on Connection { edges { node { id } } }",
        "'edges' conflict because subfields 'node' conflict because subfields 'id' conflict because 'name' and 'id' are different fields",
    ),
    Case(
        "ignores unknown types",
        BOXES,
        "{ someBox { ...on UnknownType { scalar } ...on NonNullStringBox2 { scalar } } }",
        None,
    ),
    Case(
        "works for field names that are js keywords",
        KEYWORDS,
        "{ foo { constructor } }",
        None,
    ),
    Case(
        "works for field names that are python keywords",
        KEYWORDS,
        "{ foo { class } }",
        None,
    ),
    Case(
        "does not infinite loop on recursive fragments",
        PETS,
        "{ ...fragA } fragment fragA on Human { name, relatives { name, ...fragA } }",
        None,
    ),
    Case(
        "does not infinite loop on immediately recursive fragments",
        PETS,
        "{ ...fragA } fragment fragA on Human { name, ...fragA }",
        None,
    ),
    Case(
        "does not infinite loop on recursive fragment with field named after fragment",
        PETS,
        "{ ...fragA fragA } fragment fragA on Query { ...fragA }",
        None,
    ),
    Case(
        "finds invalid cases even with field named after fragment",
        PETS,
        "{ fragA ...fragA } fragment fragA on Type { fragA: b }",
        "'fragA' conflict because 'fragA' and 'b' are different fields",
    ),
    Case(
        "does not infinite loop on transitively recursive fragments",
        PETS,
        (
            "{ ...fragA fragB } fragment fragA on Human { name, ...fragB } fragment fragB on Human { name, ...fragC } fragment fragC "
            "on Human { name, ...fragA }"
        ),
        None,
    ),
    Case(
        "finds invalid case even with immediately recursive fragment",
        PETS,
        ("fragment sameAliasesWithDifferentFieldTargets on Dog { ...sameAliasesWithDifferentFieldTargets fido: name fido: nickname }"),
        "'fido' conflict because 'name' and 'nickname' are different fields",
    ),
    Case(
        "does not infinite loop on recursive fragments separated by fields",
        PETS,
        (
            "{ ...fragA ...fragB } fragment fragA on T { x { ...fragA x { ...fragA } } } fragment fragB on T { x { ...fragB x { "
            "...fragB } } }"
        ),
        None,
    ),
)
