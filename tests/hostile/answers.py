"""Documents within the limits whose answers are as large, or as dear to make, as limits allow."""

from __future__ import annotations

from tests.hostile.documents import many, nested_lists

LARGE = {
    "9,900 objects": nested_lists([100, 98]).replace("{ id }", "{ id name email createdAt languages }"),
    "100 aliases of a name": nested_lists([100, 98]).replace("{ id }", "{ " + " ".join(f"a{i}: name" for i in range(99)) + " }"),
    "99 aliases of a cursor": "{ users(first: 100) { nodes { following(first: 98) { edges { "
    + " ".join(f"a{i}: cursor" for i in range(99))
    + " node { id } } } } } }",
    "100 aliases of texts": "{ users(first: 100) { nodes { posts(first: 98) { nodes { "
    + " ".join(f"a{i}: content" for i in range(100))
    + " } } } } }",
    "100 aliases of JSON": "{ users(first: 100) { nodes { events(first: 98) { nodes { "
    + " ".join(f"a{i}: payload" for i in range(100))
    + " } } } } }",
    "all groups of all events": "{ eventStats(groupBy: [USER, POST, TYPE]) { count type postId userId } }",
    "all groups, 20 times": many(
        20, lambda i: f"s{i}: eventStats(groupBy: [USER, POST, TIME, TYPE], interval: HOUR) {{ count type postId userId }}", "{{ {} }}"
    ),
    "one user under all events": "{ users(first: 100) { nodes { events(first: 49) { nodes { user { name email id } } } } } }",
    "recommendations by friends": "{ users(first: 100) { nodes { recommendations(first: 19) { score because { name }"
    " post { title } } } } }",
    "recommendations by likes": "{ users(first: 100) { nodes { recommendations(first: 19, strategy: COLLABORATIVE) { score"
    " because { name } post { title } } } } }",
    "300 connections": "{ users(first: 1) { nodes { "
    + " ".join(f"a{i}: posts(first: 1) {{ nodes {{ id author {{ id }} }} }}" for i in range(95))
    + " } } }",
}
