"""What the fuzzer starts from: our own fixtures and the generator's texts, in the form that each target reads."""

from __future__ import annotations

from collections.abc import Iterator

from tests.fuzz.targets import TARGETS
from tests.oracles import generator
from tests.support import frames
from tests.support.messages import SHAPES

#: How many of the generator's texts are added.
GENERATED = 300

#: As the wire writes numbers, and some that are none.
NUMBERS = (
    *(b"0", b"-1", b"187.05", b"1767225600123", b"2.0201311791131118E8", b"-3.5e-7", b"1e400", b"01", b"1.", b".5"),
    *(b"C187.05", b"H+1,300.25", b"12.2M", b"1.5K", b"3B%", b"0.54%", b"N/A", b"-", b"", b"1,30", b"9007199254740993"),
    *(b"179769313486231580793e289", b"4.9e-324", b"123456789012345678901234567890", b"0.1000000000000000055511151231"),
)


def texts() -> list[bytes]:
    """Every fixture, and some of everything that the generator makes; long ones teach a fuzzer nothing."""
    made = (case.data for case in generator.Generator(1).cases(GENERATED))
    return [text for text in (*frames.corpus(), *made) if len(text) <= 1_000]


def _appended(text: bytes) -> bytes:
    """An action of the batch target that appends this text."""
    return b"\x01" + bytes([len(text)]) + text if len(text) < 256 else b"\x10" + len(text).to_bytes(2, "big") + text


def _batches() -> Iterator[bytes]:
    pool = texts()
    for count in (1, 2, 7, 33):
        for start in range(0, 4 * count, count):
            appended = b"".join(map(_appended, pool[start : start + count]))
            # Finish, keep views, take a slice from the second frame on and an invalid one, start again.
            slices = b"\xe0\x02\x01" + b"\xe4\x00\x01" + b"\xe0\x01\x02"
            yield appended + b"\xc0" + slices + appended[: len(appended) // 2] + b"\xc1"


def _frame(payload: bytes, opcode: int, *, fin: bool = True) -> bytes:
    """A frame of the fragments target."""
    return bytes([opcode | 0x80 * fin, len(payload)]) + payload


def _streams() -> Iterator[bytes]:
    plans = (b"\x00\x00\x00\x00", b"\x01\x01\x01\x01", b"\x03\x07\x02\x05", b"\x80\x10\x00\x00")
    endings = (frames.ws_close(1000), frames.ws_close(None), frames.ws_close(4001, "bye"), b"")
    pool = [text for text in texts() if len(text) < 100]
    for index, text in enumerate(pool[:60]):
        third = len(text) // 3
        stream = (
            _frame(text, frames.BINARY)
            + _frame(text[:third], frames.TEXT, fin=False)
            + _frame(b"ping", frames.PING)
            + _frame(text[third : 2 * third], frames.CONTINUATION, fin=False)
            + _frame(text[2 * third :], frames.CONTINUATION)
        )
        yield bytes([index % 3]) + plans[index % 4] + stream + endings[index // 4 % 4]
    # A frame and a message above their limits, and bytes that are no frame.
    yield b"\x00" + plans[0] + b"\x82\xfe\x05hello"
    yield b"\x01" + plans[2] + b"\x02\xc0\x05hello" + b"\x00\xc0\x05hello" * 4
    yield b"\x02" + plans[3] + b"\xff\xff\x04\x83\x00\x7f\xff"


def _payloads() -> Iterator[bytes]:
    for text in texts():
        if b'"smd+' in text:
            yield b"p" + text
    for number in NUMBERS:
        yield b"t" + number
        yield b"n" + number
        yield b'p{"31":"C' + number + b'","84":' + number + b',"x":[{"31":1}],"87_raw":"\\u0031","topic":"smd+1"}'


def _tracked() -> Iterator[bytes]:
    pool = [text for text in texts() if len(text) < 100]
    for count in (1, 5, 20):
        for start in range(0, 10 * count, count):
            appended = b"".join(b"\x01" + bytes([len(text)]) + text for text in pool[start : start + count])
            added = b"".join(b"\xa0" + bytes([index]) for index in range(count))
            # 0x80 to 0x83 scan, 0xa0 and 0xc0 add, 0xd1 removes, 0xd2 arms, 0xd3 disarms.
            yield (
                appended + b"\x80" + added + b"\xc0\x08smd+8314" + b"\xd2\x00" + appended + b"\x81"
                b"\xd1\x00\xd1\x02" + appended + b"\x82" + added + b"\xd2\x01\xd3\x00" + appended + b"\x83"
            )


def _quotes() -> Iterator[bytes]:
    pool = [text for text in texts() if b'"smd+' in text]
    for start in range(0, len(pool), 3):
        whole = [(1 << 15 | len(text)).to_bytes(2, "big") + text for text in pool[start : start + 3]]
        yield b"\x02" + b"".join(whole) + b"\x00" + whole[0]
    for number in NUMBERS:
        members = b'"31":"C' + number + b'","84":' + number + b',"x":[{"31":1}],"87_raw":"\\u0031","\xc3\xa9":1'
        yield b"\x00" + len(members).to_bytes(2, "big") + members


def _messages() -> Iterator[bytes]:
    yield from SHAPES
    for number in NUMBERS:
        yield b'{"topic":"smd+1","31":' + number + b',"84":"' + number + b'","_updated":"' + number + b'"}'
        yield b'{"topic":"sor","args":[{"orderId":' + number + b',"price":"' + number + b'"},null,[]]}'


def _rows() -> Iterator[bytes]:
    def frame(action: int, members: bytes) -> bytes:
        """A frame; its action modulo 8 is its target. Those from 0x40 to 0x7f have a length of two bytes."""
        if len(members) > 255:
            return bytes([0x40 + action]) + len(members).to_bytes(2, "big") + members
        return bytes([action, len(members)]) + members

    # The end of a batch: with the time of the one before, 1 ns later, and 1 ms later.
    now, next_ns, next_ms = b"\xc0", b"\xc1", b"\xc2"
    last = b'"31":"C1","6509":"RpB","84":2'
    for target in range(8):
        before = frame(target, last) + next_ns
        sent = frame(target, b'"84":3')
        # Gaps of a topic, or of all, that end now, 1 ns or 1 ms later, or at an unknown time, one or two of them. Rows
        # before their end, at it, and after it.
        for gaps in (
            (0xED,),
            (0xEC,),
            (0xED, 0xE9),
            (0xE9, 0xED),
            (0xEC, 0xE9),
            (0xEE, 0xE8),
            (0xE1, 0xED),
            (0xE5, 0xEF),
        ):
            yield (
                before
                + bytes(gaps)
                + (sent + now + sent + next_ns + sent + next_ms + sent + now + frame(1, b'"31":5') + next_ms)
                + sent
            )
        # No connection, in the middle of a gap.
        yield before + b"\xec" + sent + now + b"\xf0" + sent + now + sent + next_ms + sent
        # Two snapshots of a time, of which the second has another value, a value less, or one more.
        first = b'"6509":"RpB","_updated":1777552273601,"31":"C5","58":"a"'
        for second in (first[:-1] + b'b"', first.replace(b"C5", b"5"), first[:-9], first + b',"84":1', first):
            yield frame(target, first) + frame(target, second) + frame(target, first) + next_ns + frame(target, first)
        # Symbols of instruments that share a conid, and texts that are just short enough to be carried forward.
        for size in (1023, 1024, 1025):
            text = b"x" * (size - 2) + "\u00e9".encode()
            long = b'"58":"' + text + b'","6509":"' + text + b'","31":1'
            yield (
                frame(target, long)
                + frame(target, b'"31":2')
                + frame(target, b'"55":"' + text + b'"')
                + frame(target, b'"31":3')
                + frame((target + 2) % 8, b'"31":4')
                + frame((target + 1) % 8, b'"55":"IBM"')
                + next_ns
                + frame(target, b'"31":5')
                + b"\xf8"
                + frame((target + 2) % 8, b'"55":"-"')
            )
    for updated in (253402300799999, 253402300800000, -62135596800000, -62135596800001):
        for text in (b"%d" % updated, b"%d.5" % updated, b'"%d"' % updated):
            yield frame(0, b'"_updated":' + text + b',"6509":"RpB"') * 2 + next_ns + frame(0, b'"31":1')

    snapshot = b'"6509":"RpB","55":"IBM","_updated":1777552273601,"31":"C4,735.10","58":"a text"'
    for index, number in enumerate(NUMBERS):
        delta = b'"84":' + number + b',"_updated":1777552273602,"6008":"' + number + b'","999999":"x"'
        target = index % 8
        # 0x80 and more: a frame twice; 0xc0: a batch; 0xe0: a gap; 0xf0: no connection; 0xf8: a comparison.
        yield (
            frame(0x80 + target, snapshot)
            + frame(target, delta if index % 3 else b'"31":"' + number + b'","7184":"' + number + b'%"')
            + (b"\xc1", b"\xc2\xf8", b"\xc0")[index % 3]
            + frame(target, b'"31":"N/A"')
            + (b"\xe0", b"\xe5", b"\xf0", b"\xeb")[index % 4]
            + frame(0x80 + target, snapshot)
            + frame((target + 1) % 8, b'"\\u0033\\u0031":5,"55":"-"')
            + frame(target, b'"31":nonsense')
            # A snapshot after a delta of the same time is no repeated one.
            + frame(target, b'"_updated":1777552273603')
            + frame(target, b'"6509":"RpB","_updated":1777552273603')
        )


def seeds(target: str) -> list[bytes]:
    """The first inputs of a target."""
    makers = {
        "batch": _batches,
        "fragments": _streams,
        "columns": _payloads,
        "tracker": _tracked,
        "last_values": _quotes,
        "messages": _messages,
        "tables": _rows,
    }
    found = list(makers[target]()) if target in makers else texts()
    assert target in TARGETS
    return found


def dictionary() -> str:
    """Tokens for libFuzzer to put in, in the form of its dictionary files."""
    tokens = {*generator.SOUP, *generator.ROUTED_TOPICS[:20], *generator.ESCAPED_TOPIC_KEYS, *generator.NO_STRINGS}
    quoted = ("".join(f"\\x{byte:02x}" for byte in token) for token in sorted(tokens) if len(token) <= 64)
    return "".join(f'"{token}"\n' for token in quoted if token)
