"""Parse a query's text, and stop at the first limit that it reaches. What comes of it holds no circle and is freed with its last user."""

from __future__ import annotations

from graphql import DocumentNode, Lexer, Source, Token, TokenKind
from graphql.language.ast import Location
from graphql.language.parser import Parser

from gateway.errors import LimitExceeded, TextLimitExceeded
from gateway.security.limits import Limits


class LimitReachedError(Exception):
    """The text goes beyond a limit; what is behind that was not read."""

    def __init__(self, broken: LimitExceeded) -> None:
        super().__init__(broken.message)
        self.broken = broken


def parse(text: str, limits: Limits) -> tuple[DocumentNode, int]:
    """Return the document of ``text`` and how many tokens it has; GraphQLError for its syntax, LimitReachedError for its size.

    One pass: the lexer counts tokens (comments too) and levels of brackets while the parser reads.
    """
    lexer = _Lexer(Source(text), limits)
    parser = _Parser(lexer.source, lexer=lexer)
    return parser.parse_document(), lexer.count


class _Location(Location):
    """A location without its tokens: each token knows the next and the last, and so held them all, in a circle."""

    __slots__ = ()

    def __init__(self, start_token: Token, end_token: Token, source: Source) -> None:
        self.start = start_token.start
        self.end = end_token.end
        self.source = source


class _Parser(Parser):
    def loc(self, start_token: Token) -> Location:
        return _Location(start_token, self._lexer.last_token, self._lexer.source)

    def advance_lexer(self) -> None:
        self._lexer.advance()


class _Lexer(Lexer):
    """Links no token to another, and counts."""

    def __init__(self, source: Source, limits: Limits) -> None:
        super().__init__(source)
        self.count = 0
        self._nesting = 0
        self._limits = limits
        self._tokens_max = limits.tokens_max
        self._ahead: Token | None = None

    def advance(self) -> Token:
        self.last_token = self.token
        token = self.token = self.lookahead()
        self._ahead = None
        kind = token.kind
        if kind is TokenKind.NAME:
            return token
        if kind is TokenKind.BRACE_L or kind is TokenKind.PAREN_L or kind is TokenKind.BRACKET_L:
            self._nesting += 1
            self._check("DEPTH_LIMIT", "The document has brackets in", "nesting_max", self._nesting, "levels or more")
        elif kind is TokenKind.BRACE_R or kind is TokenKind.PAREN_R or kind is TokenKind.BRACKET_R:
            self._nesting -= 1
        return token

    def lookahead(self) -> Token:
        token = self._ahead
        if token is None:
            token = self.token
            while token.kind is not TokenKind.EOF:
                token = self.read_next_token(token.end)
                if token.kind is TokenKind.EOF:
                    break
                self.count += 1
                if self.count > self._tokens_max:
                    self._check("TOKEN_LIMIT", "The document has", "tokens_max", self.count, "tokens or more")
                if token.kind is not TokenKind.COMMENT:
                    break
            self._ahead = token
        return token

    def _check(self, code: str, what: str, setting: str, actual: int, unit: str) -> None:
        for broken in self._limits.exceeded(code, what, setting, actual, unit, kind=TextLimitExceeded, always=True):
            raise LimitReachedError(broken)
