"""Redacted frames have no secret, the same length, the same route, and stay JSON; quotes do not change."""

from __future__ import annotations

import itertools
import json
import re
import time
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.frames.frame import classify
from cpapi_fast.outputs.capture import CaptureWriter, read_capture
from cpapi_fast.outputs.frame_redactor import FrameRedactor
from cpapi_fast.protocol.kinds import FrameKind
from tests.support.batches import batch_of
from tests.support.files import quote

DATA = Path(__file__).parents[2] / "data"
FRAMES = [line for path in sorted(DATA.glob("*.jsonl")) for line in path.read_bytes().splitlines()]

SESSION = "0123456789abcdef0123456789abcdef"

#: Frames with a secret, and the secret.
SECRETS = [
    (b'{"topic":"system","success":"user1234","isFT":false}', "user1234"),
    (b'{"topic":"system","success":"ab"}', '"ab"'),
    (b'{"topic":"sts","args":{"username":"user1234"}}', "user1234"),
    (b'{"topic":"act","args":{"accounts":["U1234567","DU7654321"]}}', "U1234567"),
    (b'{"topic":"act","args":{"accounts":["U1234567","DU7654321"]}}', "DU7654321"),
    (b'{"topic":"act","args":{"acctProps":{"U1234567":{"isProp":false}}}}', "U1234567"),
    (b'{"topic":"act","args":{"aliases":{"U1234567":"My Savings"}}}', "My Savings"),
    (b'{"topic":"act","args":{"sessionId":"6a000000.00000af0"}}', "6a000000.00000af0"),
    (b'{"topic":"tic","alive":true,"id":"0123456789abcdef0123456789abcdef"}', SESSION),
    (b'{"topic":"sor","args":[{"acct":"DU1234","orderId":1}]}', "DU1234"),
    (b'{"topic":"spl","args":{"DU1234.Core":{"dpl":-57520.0}}}', "DU1234"),
    (b'{"result":[{"acctCode":"F1234567"}],"topic":"sld+F1234567"}', "F1234567"),
    (b'{"result":[],"topic":"ssd+Joe.Smith"}', "Joe.Smith"),
    (b'{"data":[],"topic":"sbd+DU1234567+265598+SMART"}', "DU1234567"),
    (b'{"topic":"str","args":[{"submitter":"user1234","account_allocation_name":"DU1234567"}]}', "user1234"),
    (b'{"topic":"ntf","args":[{"text":"Account U1234567 was filled"}]}', "U1234567"),
    (b'{"topic":"ntf","args":[{"text":"see 5c1f3e0a-1234-4abc-8def-0123456789ab"}]}', "4abc"),
    (b'{"error":"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0"}', "eyJzdWIiOiIxMjM0NTY3ODkwIn0"),
    (b'{"userId":100000001}', "100000001"),
    (b'{"userId": -123.5e7}', "123.5e7"),
    (b'{"session" : "a b"}', "a b"),
    (b'{"MAC":"00:11:22:33:44:55"}', "00:11:22:33:44:55"),
    (b'{"token":"caf\xc3\xa9"}', "caf"),
    (b'{"account":"a\\"b\\\\"}', "a\\"),
    # Escapes can hide it, and a frame can be cut or be no JSON.
    (b'{"text":"D\\u00551234567"}', "1234567"),
    (b'{"topic":"sts","args":{"username":"user12', "user12"),
    (b'{"text":"account DU1234567', "DU1234567"),
    (b"waiting for DU1234567", "DU1234567"),
    (b'session "' + SESSION.encode(), SESSION),
    (b'[{"account":"DU1234567"}]', "DU1234567"),
    (b"\xff\xfe DU1234567 \x00", "DU1234567"),
]


def is_json(raw: bytes) -> bool:
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    return True


def shape(value: object) -> object:
    """A decoded value without its texts: types, and how they are nested."""
    if isinstance(value, dict):
        return [shape(item) for item in value.values()]
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


def check(raw: bytes, clean: bytes) -> None:
    """What must be true of every frame."""
    assert len(clean) == len(raw)
    before, after = classify(raw), classify(clean)
    assert (after.kind, after.conid, after.channel) == (before.kind, before.conid, before.channel)
    assert is_json(clean) == is_json(raw)
    if is_json(raw):
        assert shape(orjson.loads(clean)) == shape(orjson.loads(raw))


@pytest.mark.parametrize(("raw", "secret"), SECRETS, ids=[secret for _, secret in SECRETS])
def test_secrets_are_replaced(raw: bytes, secret: str) -> None:
    clean = FrameRedactor().redact(raw)
    assert secret.encode() not in clean
    check(raw, clean)


@pytest.mark.parametrize(("raw", "secret"), SECRETS, ids=[secret for _, secret in SECRETS])
def test_in_frames_that_look_like_quotes_too(raw: bytes, secret: str) -> None:
    """Accounts and session ids are found in any kind of frame."""
    if not re.fullmatch(r"[A-Z]{1,3}[0-9]{4,}|[0-9a-f]{32}", secret):
        return
    frame = b'{"text":"%b","31":"1.5","topic":"smd+1"}' % secret.encode()
    assert classify(frame).kind is FrameKind.MARKET_DATA
    clean = FrameRedactor().redact(frame, is_market_data=True)
    assert secret.encode() not in clean
    check(frame, clean)


def test_every_frame_of_the_fixtures() -> None:
    redactor = FrameRedactor()
    changed = 0
    for raw in FRAMES:
        kind = classify(raw).kind
        clean = redactor.redact(raw, is_market_data=kind is FrameKind.MARKET_DATA)
        check(raw, clean)
        changed += clean != raw
        if kind is FrameKind.MARKET_DATA:
            assert clean == raw
        assert not re.search(rb"(?<![0-9A-Za-z#])D?[UF][0-9]{4,}|[0-9a-f]{32}|user1234", clean)
    assert changed


def test_the_same_secret_is_the_same_everywhere_and_others_stay_apart() -> None:
    redactor = FrameRedactor()
    one, two, again = (
        redactor.redact(b'{"topic":"ssd+%b"}' % account) for account in (b"DU1234567", b"DU7654321", b"DU1234567")
    )
    assert one == again != two
    # A user name is known after its first frame.
    text = b'{"text":"hello joe.smith, are you Joe?"}'
    assert redactor.redact(text) == text
    redactor.redact(b'{"topic":"system","success":"joe.smith"}')
    assert b"joe.smith" not in redactor.redact(text)
    assert redactor.redact(b'{"text":"joe.smithers"}') == b'{"text":"joe.smithers"}'


@pytest.mark.parametrize(
    "raw",
    [
        quote(_31="C4735.10", _84="H12345.00", _7051="A COMPANY OF 1234", _6508="&serviceID1=122&serviceID2=123"),
        quote(495512552, _55="ES", _7219="495512552@SMART", server_id="q1234"),
        b'{"topic":"system","hb":1777552273601}',
        b'{"topic":"sts","args":{"authenticated":true,"serverName":"JifZ11","message":"","fail":""}}',
        b'{"topic":"sor","args":[{"orderId":352055828,"bgColor":"#AA0000","orderDesc":"Buy 100 Limit 372.00 GTC"}]}',
        b'{"cashbalance":2.0201311791131118E8,"timestamp":1700248325,"key":"LedgerListUSD"}',
        b'{"isPendingApplicationForSomethingElse":true}',
        b"",
        b"{}",
    ],
)
def test_other_texts_stay(raw: bytes) -> None:
    assert FrameRedactor().redact(raw, is_market_data=classify(raw).kind is FrameKind.MARKET_DATA) == raw


TEXTS = st.text(max_size=30) | st.sampled_from([secret for _, secret in SECRETS]) | st.from_regex(r"[A-Z]{1,3}\d{4,9}")
KEYS = st.sampled_from(["topic", "account", "sessionId", "text", "args", "success", "31", "user"]) | TEXTS
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(value=st.dictionaries(KEYS, VALUES, max_size=6), is_ascii=st.booleans(), is_market_data=st.booleans())
def test_any_json_keeps_its_shape(value: dict[str, object], is_ascii: bool, is_market_data: bool) -> None:
    raw = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    redactor = FrameRedactor()
    clean = redactor.redact(raw, is_market_data=is_market_data)
    assert len(clean) == len(raw)
    assert shape(json.loads(clean)) == shape(json.loads(raw)) or len({*value}) != len({*json.loads(clean)})


@given(raw=st.binary(max_size=200), cut=st.integers(0, 200))
def test_any_bytes_keep_their_length(raw: bytes, cut: int) -> None:
    redactor = FrameRedactor()
    assert len(redactor.redact(raw)) == len(raw)
    for frame in FRAMES[:5]:
        assert len(redactor.redact(frame[:cut] + raw)) == len(frame[:cut] + raw)


@given(account=st.from_regex(r"(U|DU|F|DF|I|DFI)[0-9]{5,9}", fullmatch=True), text=st.text(max_size=10))
def test_accounts_in_any_text(account: str, text: str) -> None:
    raw = json.dumps({"topic": "ntf", "args": [{"text": f"{text} {account} {text}"}], account: {}}).encode()
    clean = FrameRedactor().redact(raw)
    assert account.encode() not in clean or account in text
    check(raw, clean)


def test_memory_and_time_are_bounded() -> None:
    redactor = FrameRedactor()
    for number in range(20_000):
        redactor.redact(b'{"user":"user-%d","id":"DU%07d"}' % (number, number))
    assert len(redactor._numbers) <= 10_000
    assert len(redactor._learned) <= 64
    # Secrets beyond the bound are replaced all the same.
    assert redactor.redact(b'{"user":"user-99999"}') == b'{"user":"xxxxxxxxxx"}'
    # Long frames take linear time.
    for piece in (b"a", b"0", b'"', b"\\", b"+", b"[", b'{"account":', b"DU"):
        redactor.redact(b'{"error":"' + piece * (2_000_000 // len(piece)))


def test_a_capture_is_redacted_on_the_way_in(tmp_path: Path) -> None:
    frames = [*FRAMES, *(raw for raw, _ in SECRETS), quote(_31="271.81")]
    path = tmp_path / "a.arrows"
    with CaptureWriter(path, redact=True) as writer:
        batch = batch_of(frames, 42)
        offsets = list(batch.offsets)
        writer.write(batch)
    table = read_capture(path).read_all()
    raw = table["raw"].to_pylist()
    assert [len(frame) for frame in raw] == [stop - start for start, stop in itertools.pairwise(offsets)]
    assert bytes(batch.payloads) == b"".join(frames), "other consumers get the frames as received"
    data = b"\n".join(raw)
    for _, secret in SECRETS:
        if len(secret) > 4:
            assert secret.encode() not in data, secret
    assert b"redacted" in b" ".join(table.schema.metadata)
    unchanged = [frame for frame in frames if classify(frame).kind is FrameKind.MARKET_DATA]
    assert [frame for frame in raw if classify(frame).kind is FrameKind.MARKET_DATA] == unchanged


def test_a_batch_without_secrets_is_not_copied() -> None:
    batch = batch_of([quote(number, _31="1.5") for number in range(10)])
    payloads = FrameRedactor().redacted(batch)
    assert isinstance(payloads, memoryview)


@pytest.mark.parametrize(
    "frame",
    [
        rb'{"topic":"act","args":{"\u0061ccounts":["EVIL7"]}}',
        rb'{"topic":"x","us\u0065r-name":"EVIL7"}',
        rb'{"topic":"act","args":{"aliases":{"U1234567":"a } b","U7654321":"EVIL7"}}}',
        rb'{"topic":"act","args":{"ali\u0061ses":{"U1234567":"EVIL7"}}}',
        rb'{"topic":"x","account":{"id":"EVIL7","more":[{"name":"EVIL7"}]},"price":1.5}',
        rb'{"topic":"x","text":"{\"account\":\"EVIL7\"}"}',
        rb'{"topic":"x","text":"cookie: a=EVIL7; b=EVIL7"}',
        rb'{"topic":"x","text":"JSESSIONID=EVIL7; next"}',
        rb'{"topic":"x","text":"Authorization: Bearer EVIL7"}',
        rb'{"topic":"x","text":"write to EVIL7@example.com"}',
    ],
)
def test_hidden_keys_nested_values_and_cookies_are_secrets(frame: bytes) -> None:
    clean = FrameRedactor().redact(frame)
    assert b"EVIL7" not in clean
    assert len(clean) == len(frame)
    json.loads(clean)
    assert clean.endswith(b'"price":1.5}') == frame.endswith(b'"price":1.5}')


@pytest.mark.parametrize("part", [b"a", b"a.", b"sess", b"a@", b"cookie: ", b"user=", b"{", b"[1,", b'\\"'])
def test_the_work_on_a_long_text_is_bounded(part: bytes) -> None:
    frame = b'{"topic":"x","text":"%b"}' % (part * 100_000)
    started_s = time.process_time()
    FrameRedactor().redact(frame)
    # It takes 0.1 s; time that grows with the square of the length would be minutes.
    assert time.process_time() - started_s < 10.0
