"""A fast, seeded generator of texts that are difficult to classify.

A `Generator` returns the same texts for the same seed. Each family is one method. Families of JSON build it from
pieces, so that white space, escapes and key order vary. A text takes some microseconds: the normal run makes 200,000.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeVar

from tests.support import frames

T = TypeVar("T")

#: Topics that the table routes somewhere.
ROUTED_TOPICS: Final = tuple(
    text.encode()
    for text in (
        *(
            "smd+1",
            "smd+0",
            "smd+265598",
            "smd+000000000000000000000000000042",
            "smd+9223372036854775807",
            "smd+999999999",
        ),
        *("smd+1@NYSE", "smd+0;;;1/1,2/-1", "smd+28812380;;;1/1", "smd+1@@", "smd+1@É", "smd+1;;;;", "smd+1@\x7f"),
        *(
            "smd+9223372036854775807@X",
            "smd+1000000000000000000",
            "system",
            "sor",
            "ortd",
            "ord",
            "spl",
            "spl+U1234567",
        ),
        *("pnl", "pnl+1", "ssd", "ssd+DU1234567", "sld", "sld+U1234567", "ssl", "ssl+1", "ssl++", "spl+é"),
    )
)

#: Topics of the kind OTHER: the gateway's, and near misses of every row of the table.
OTHER_TOPICS: Final = tuple(
    text.encode()
    for text in (
        *(
            "smd+9223372036854775808",
            "smd+18446744073709551616",
            "smd+18446744073709551617",
            "smd+10000000000000000000",
        ),
        *("smd+99999999999999999999999999", "smd+92233720368547758070", "smd+-1", "smd++1", "smd+ 1", "smd+1 ", "smd+"),
        *("smd", "smd1", "smd-1", "Smd+1", "smd+1.5", "smd+1e5", "smd+0x1", "smd+1a", "smd+1+", "smd+1_0", "smd+٣"),
        *("smd+1@", "smd+@NYSE", "smd+9223372036854775808@NYSE", "smd+1 @NYSE", "smd+1;;;", "smd+1;;", "smd+1;;x"),
        *("smd+1;", "smd+;;;1", "smd+9223372036854775808;;;1/1", "smd+1;@X", "smd+1,2", "smd+1/1", "smd+:", "smd+1;;@"),
        *(
            "system+",
            "syste",
            "systemx",
            "System",
            "sor+",
            "sor+U1234567",
            "so",
            "sors",
            "ortd+",
            "ord+1",
            "or",
            "spl+",
        ),
        *("splx", "pnl+", "ssd+", "sldx", "ssl+", "sts", "act", "str", "str+U1234567", "tic", "ntf", "blt", "error"),
        *("smh+265598", "sbd+DU1234567+265598", "umd+1", "", "+", "topic", "é", "smd+\x7f", "x" * 300),
    )
)

#: Values of other members, as JSON text.
VALUES: Final = tuple(
    text.encode()
    for text in (
        *("0", "-1", "1767225600123", "0.56", "-3.5E-7", "2.0201311791131118E8", "1e5", "true", "false", "null", '""'),
        *(
            '"187.05"',
            '"C4735.10"',
            '"1,300"',
            '"q1"',
            '"é ☕ 株"',
            '"}"',
            '"{"',
            '"]"',
            '","',
            '":"',
            '"\\""',
            '"\\\\"',
        ),
        *('"\\\\\\""', '"a\\\\"', '"\\u0022"', '"\\ud83d\\ude00"', '"topic"', '"\\"topic\\":\\"smd+1\\""', '"\\u0000"'),
        *('"x,\\"topic\\":\\"smd+1\\"}"', '",\\"topic\\":"', "[]", "{}", "[[]]", "[{}]", '{"a":{}}', "[1,2,3]", '"//"'),
        *(
            '{"topic":"smd+7"}',
            '[{"topic":"sor"}]',
            '["topic","smd+1"]',
            '{"a":[{"topic":"system"}]}',
            '"\\t\\n"',
            '"\x7f"',
        ),
        *('{"topic":{"topic":"smd+1"}}', '[["topic",":","smd+1"]]', '"smd+1"', '{"a":"b","topic":"smd+3"}', '"\\/"'),
    )
)

#: Other keys, as JSON text; some of them almost the right one.
KEYS: Final = tuple(
    text.encode()
    for text in (
        *('"31"', '"84"', '"86"', '"_updated"', '"conid"', '"conidEx"', '"server_id"', '"6119"', '"args"', '"error"'),
        *('"result"', '"message"', '"hb"', '""', '"xtopic"', '"topic2"', '"Topic"', '"TOPIC"', '"topic "', '" topic"'),
        *(
            '"topi"',
            '"opic"',
            '"topic\\u0000"',
            '"\\"topic"',
            '"topic\\""',
            '"\\"topic\\""',
            '"topic\\\\"',
            '"\\\\topic"',
        ),
        *('"a\\",\\"topic"', '"t"', '"{"', '"}"', '":"', '","', '"smd+1"', '"é"', '"to\\/pic"', '"\\u0074opicx"'),
    )
)

#: Other ways to write the key `topic`.
ESCAPED_TOPIC_KEYS: Final = (
    rb'"t\u006fpic"',
    rb'"\u0074\u006f\u0070\u0069\u0063"',
    rb'"topi\u0063"',
    rb'"\u0074opic"',
    rb'"topi\u0063"',
)

#: Values of a topic that are no string.
NO_STRINGS: Final = (
    b"null",
    b"7",
    b"-0.5",
    b"true",
    b"[]",
    b"{}",
    b'["smd+1"]',
    b'{"topic":"smd+1"}',
    b'[{"topic":"sor"}]',
)

#: What is not JSON where a value is wanted.
BAD_VALUES: Final = (
    *(
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e400",
        b"-1e999",
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"-",
        b"0x10",
        b"nul",
        b"True",
    ),
    *(
        b'"\\ud800"',
        b'"\\udc00"',
        b'"\\ud800\\ud800"',
        b'"\\x41"',
        b'"\\u12g4"',
        b'"\\"',
        b'"\t"',
        b'"\x00"',
        b'"\x1f"',
    ),
    *(b"'x'", b"", b"[1,]", b"[,]", b'{"a":1,}', b'{"a"}', b"{1:2}", b"[", b"{", b"]", b"}", b"undefined", b"/**/1"),
)

#: Not UTF-8: a lone continuation, a cut sequence, an overlong one, a surrogate, past the last code point.
NOT_UTF8: Final = (
    b"\x99",
    b"\xc3",
    b"\xe2\x82",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf5\x80\x80\x80",
    b"\xff",
    b"\x80\x80",
)

#: What may stand around a text.
AROUND: Final = (
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b" ",
        b"\n",
        b"\r\n\t ",
        b"\x00",
        b"\x0b",
        b"\xc2\xa0",
        b",",
        b"}",
        b"{",
        b"]",
        b"[",
    ),
    *(b"null", b"{}", b'{"topic":"smd+9"}', b'"', b"\\", b"//", b"smd+1", b'"topic":"smd+1"', b',"topic":"smd+1"}'),
)

#: Pieces of token soup: what probes look for, in any order.
SOUP: Final = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b'\\"', b"\\\\", b" ", b"\n", b'"topic"', b"topic", b'"topic":'),
    *(
        b'"smd+1"',
        b"smd+2",
        b'"sor"',
        b'"system"',
        b'"a"',
        b"1",
        b"null",
        b'"topic":"smd+3"',
        b',"topic":"smd+4"}',
        b'""',
    ),
    *(b'{"topic":"smd+5"', b'\\"topic\\":\\"smd+6\\"', b'{"a":1', b'"a":', b'"}', b'{"', b'":"', b'","', b"\\u0022"),
)

SPACES: Final = (b"", b"", b"", b" ", b"  ", b"\n", b"\t", b"\r", b"\r\n", b" \t\r\n ")

STRUCTURE: Final = b'{}[],:"\\ \n\ttopicsmd+1@;\x00\x80\xff'


class Case(NamedTuple):
    """One text and the family it comes from."""

    family: str
    data: bytes


class Generator:
    """Texts for one seed, without end."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._random = random.Random(seed)
        self._corpus = tuple(frames.corpus())
        # A family listed twice is generated twice as often. The deep ones are thousands of bytes long.
        families = (
            *(self.plain, self.plain, self.spaced, self.nested, self.escaped, self.escaped_strings, self.no_string),
            *(self.mutated, self.mutated, self.mutated_fixture, self.truncated, self.truncated, self.soup, self.soup),
            *(
                self.soup_in_string,
                self.not_utf8,
                self.surrounded,
                self.bad_value,
                self.repeated,
                self.joined,
                self.noise,
            ),
        )
        self._families: tuple[Callable[[], bytes], ...] = families * 20 + (self.deep,)

    @property
    def families(self) -> frozenset[str]:
        """The names of all families."""
        return frozenset(family.__name__ for family in self._families)

    def cases(self, count: int) -> Iterator[Case]:
        """The next `count` texts."""
        for _ in range(count):
            family = self._pick(self._families)
            yield Case(family.__name__, family())

    def _pick(self, pool: tuple[T, ...]) -> T:
        return pool[int(self._random.random() * len(pool))]

    def _topic(self) -> bytes:
        return self._pick(ROUTED_TOPICS if self._below(2) else OTHER_TOPICS)

    def _below(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def _members(self, most: int) -> list[bytes]:
        return [self._pick(KEYS) + b":" + self._pick(VALUES) for _ in range(self._below(most + 1))]

    def _object(self, *topics: bytes, most: int = 5) -> bytes:
        members = self._members(most)
        for topic in topics:
            # First, last and anywhere are equally likely.
            where = self._below(3)
            members.insert((0, len(members), self._below(len(members) + 1))[where], topic)
        return b"{" + b",".join(members) + b"}"

    def plain(self) -> bytes:
        """An object with the topic at any place, or without one."""
        return self._object(b'"topic":"' + self._topic() + b'"') if self._below(8) else self._object()

    def spaced(self) -> bytes:
        """White space at every place where JSON allows it."""
        pick, spaces = self._pick, SPACES
        members = [pick(KEYS) + pick(spaces) + b":" + pick(spaces) + pick(VALUES) for _ in range(self._below(4))]
        topic = b'"topic"' + pick(spaces) + b":" + pick(spaces) + b'"' + self._topic() + b'"'
        members.insert(self._below(len(members) + 1), topic)
        inner = b",".join(pick(spaces) + member + pick(spaces) for member in members)
        return pick(spaces) + b"{" + inner + b"}" + pick(spaces)

    def nested(self) -> bytes:
        """Objects, arrays and strings that hold a topic which is not the frame's, with and without one that is."""
        text = self._object(b'"topic":"' + self._topic() + b'"', most=2)
        for _ in range(1 + self._below(3)):
            form = self._below(5)
            if form == 0:
                text = b"[" + text + b"]"
            elif form == 1:
                text = b"[" + self._pick(VALUES) + b"," + text + b"]"
            elif form == 2:
                text = b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
            elif form == 3:
                text = self._object(self._pick(KEYS) + b":" + text, most=2)
            else:
                topic = b'"topic":"' + self._topic() + b'"'
                text = self._object(self._pick(KEYS) + b":" + text, topic, most=2)
        return text

    def escaped(self) -> bytes:
        """The key or the topic written with escapes."""
        topic = self._topic()
        if topic and self._below(3):
            at = self._below(len(topic))
            if topic[at] < 0x80:
                topic = topic[:at] + b"\\u%04x" % topic[at] + topic[at + 1 :]
        key = self._pick(ESCAPED_TOPIC_KEYS) if self._below(3) else b'"topic"'
        return self._object(key + b':"' + topic + b'"')

    def escaped_strings(self) -> bytes:
        """Backslashes and quotes right before what a probe at the end looks for."""
        slashes = b"\\" * self._below(7)
        topic = b'"topic":"' + self._topic() + b'"'
        quote = b'"' if self._below(2) else b'\\"'
        return b'{"a":"x' + slashes + quote + b"," + topic + self._pick((b"}", b'"}', b'\\"}', b'}"}', b"]}", b"}}"))

    def no_string(self) -> bytes:
        """A topic that is no string."""
        key = self._pick(ESCAPED_TOPIC_KEYS) if self._below(4) == 0 else b'"topic"'
        return self._object(key + b":" + self._pick(NO_STRINGS))

    def _mutate(self, data: bytes) -> bytes:
        text = bytearray(data)
        for _ in range(1 + self._below(3)):
            at = self._below(len(text) + 1)
            form = self._below(7)
            if form == 0 and at < len(text):
                text[at] ^= 1 << self._below(8)
            elif form == 1:
                text.insert(at, STRUCTURE[self._below(len(STRUCTURE))])
            elif form == 2:
                del text[at : at + 1 + self._below(3)]
            elif form == 3 and at < len(text):
                text[at] = STRUCTURE[self._below(len(STRUCTURE))]
            elif form == 4 and at + 1 < len(text):
                text[at], text[at + 1] = text[at + 1], text[at]
            elif form == 5:
                end = self._below(len(text) + 1)
                text[at:at] = text[min(at, end) : max(at, end)][:64]
            else:
                text[at:at] = self._pick(SOUP)
        return bytes(text)

    def mutated(self) -> bytes:
        """A valid text with a few bytes changed, put in, taken out or swapped."""
        return self._mutate(self.plain())

    def mutated_fixture(self) -> bytes:
        """The same done to a fixture."""
        return self._mutate(self._pick(self._corpus))

    def truncated(self) -> bytes:
        """A text cut at either end."""
        data = self._pick(self._corpus) if self._below(2) else self.plain()
        at = self._below(len(data) + 1)
        return data[:at] if self._below(4) else data[at:]

    def soup(self) -> bytes:
        """Tokens in any order."""
        return b"".join([self._pick(SOUP) for _ in range(1 + self._below(12))])

    def soup_in_string(self) -> bytes:
        """Tokens in any order, all of them inside one string of a valid object."""
        soup = self.soup().replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
        return self._object(self._pick(KEYS) + b':"' + soup + b'"', b'"topic":"' + self._topic() + b'"', most=2)

    def not_utf8(self) -> bytes:
        """Bytes that are not UTF-8, most often inside a string."""
        bad = self._pick(NOT_UTF8)
        topic = self._topic()
        form = self._below(5)
        if form == 0:
            at = self._below(len(topic) + 1)
            return self._object(b'"topic":"' + topic[:at] + bad + topic[at:] + b'"')
        if form == 1:
            return self._object(self._pick(KEYS)[:-1] + bad + b'":1', b'"topic":"' + topic + b'"')
        if form == 2:
            data = self._object(b'"topic":"' + topic + b'"')
            at = self._below(len(data) + 1)
            return data[:at] + bad + data[at:]
        return self._object(b'"a":"x' + bad + b'y"', b'"topic":"' + topic + b'"')

    def surrounded(self) -> bytes:
        """Something before or after a whole text."""
        data = self.plain()
        form = self._below(3)
        return (self._pick(AROUND) if form != 1 else b"") + data + (self._pick(AROUND) if form else b"")

    def bad_value(self) -> bytes:
        """A member whose value is no JSON."""
        return self._object(self._pick(KEYS) + b":" + self._pick(BAD_VALUES), b'"topic":"' + self._topic() + b'"')

    def repeated(self) -> bytes:
        """The key `topic` twice: outside of the promise, but never a crash and never something out of the blue."""
        keys = (b'"topic"', self._pick((b'"topic"', *ESCAPED_TOPIC_KEYS)))
        topics = (key + b":" + self._pick((b'"' + self._topic() + b'"', self._pick(NO_STRINGS))) for key in keys)
        return self._object(*topics)

    def joined(self) -> bytes:
        """Two texts in one."""
        return self.plain() + self._pick((b"", b",", b"\n", b" ")) + self._pick(self._corpus)

    def noise(self) -> bytes:
        """Any bytes, a bare value, or nothing."""
        form = self._below(4)
        if form == 0:
            return self._random.randbytes(self._below(40))
        return self._pick((VALUES, BAD_VALUES, SPACES)[form - 1])

    def deep(self) -> bytes:
        """Nesting around the depth at which orjson gives up, before or after the topic."""
        depth = 1015 + self._below(20)
        opening, closing = self._pick(((b"[", b"]"), (b'{"a":', b"}")))
        inside = opening * depth + self._pick((b"1", b"[]", b"{}")) + closing * depth
        return self._object(b'"x":' + inside, b'"topic":"' + self._topic() + b'"', most=2)


def huge(size: int) -> Iterator[Case]:
    """A few texts of about `size` bytes."""
    filler = b'"' + b"x" * size + b'"'
    rows = b"[" + b",".join([b'{"topic":"smd+1","a":"\\"}"}'] * (size // 28)) + b"]"
    yield Case("huge_topic_last", b'{"a":' + filler + b',"topic":"smd+265598"}')
    yield Case("huge_topic_first", b'{"topic":"smd+265598","a":' + filler + b"}")
    yield Case("huge_topic_between", b'{"a":' + filler + b',"topic":"smd+265598","b":' + filler + b"}")
    yield Case("huge_rows", b'{"a":' + rows + b',"topic":"str","b":' + rows + b"}")
    yield Case("huge_no_topic", b'{"a":' + rows + b"}")
    yield Case("huge_topic", b'{"topic":"' + b"x" * size + b'"}')
    yield Case("huge_conid", b'{"topic":"smd+' + b"0" * size + b'1"}')
    yield Case("huge_digits", b'{"topic":"smd+' + b"1" * size + b'"}')
    yield Case(
        "huge_spaces",
        b"{" + b" " * size + b'"topic"' + b"\n" * size + b":" + b"\t" * size + b'"sor"' + b"}" + b" " * size,
    )
    yield Case("huge_escapes", b'{"a":"' + b'\\"' * (size // 2) + b'","topic":"smd+265598"}')
    yield Case("huge_backslashes", b'{"a":"' + b"\\\\" * (size // 2) + b'","topic":"smd+265598"}')
    yield Case("huge_open_string", b'{"topic":"' + b"x" * size)
    yield Case("huge_depth", b'{"a":' + b"[" * size + b',"topic":"smd+265598"}')
    yield Case("huge_zeros", b"\x00" * size)
