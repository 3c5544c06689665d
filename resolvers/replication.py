"""Where writes go beside their home: the graph hears of users, posts and likes; what is a user's goes with the user."""

from __future__ import annotations

from gateway.graph import cascade, follow_up, replicate
from resolvers.events import events
from resolvers.graph import authorship_of, follows, like_of, likes, member_of, members, wrote
from resolvers.posts import posts
from resolvers.users import users
from resolvers.writes import WELCOME, welcome

replication = (
    replicate(users, to=members, rows=member_of),
    replicate(posts, to=wrote, by="post_id", rows=authorship_of),
    replicate(events, to=likes, by="", rows=like_of),  # a like that is there stays, however often it is given
    cascade(users, to=posts, by="author_id"),
    cascade(users, to=events, by="user_id"),
    cascade(users, to=follows, by="follower_id"),
    cascade(users, to=follows, by="followee_id"),
    cascade(users, to=likes, by="user_id"),
    follow_up(users, name=WELCOME, run=welcome),
)
