"""Typed columns: what they hold, in which shape, for how long, and what a decoder refuses."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import struct
import sys
import weakref
from collections.abc import Iterable
from enum import StrEnum

import numpy as np
import orjson
import pytest

import cpapi_fast as cf
from cpapi_fast.frames.tick_decoder import TickDecoder
from cpapi_fast.frames.ticks import Ticks
from cpapi_fast.protocol.fields import DEFAULT_TICK_FIELDS
from tests.oracles.ticks import NOTHING, CDecoder, cell, check_payloads, check_row, expected, rows_of, spelled
from tests.support import frames
from tests.support.batches import batch_of
from tests.unit.protocol.test_numbers import NO_NUMBERS, NUMBERS

RECEIVED_NS = 1_767_225_600_000_000_001


def frame_of(members: str) -> bytes:
    return f'{{{members},"topic":"smd+8314"}}'.encode()


def decode_one(members: str, fields: Iterable[str] = ("31",), *, strict: bool = False) -> Ticks:
    ticks = TickDecoder(fields, strict=strict).decode(batch_of([frame_of(members)]))
    assert len(ticks) == 1
    return ticks


def test_one_row_for_each_market_data_frame():
    batch = batch_of(
        [
            b'{"topic":"system","hb":1767225600000}',
            b'{"conid":8314,"_updated":1767225600123,"84":"187.02","31":"C4,735.10","88":"12.2M","topic":"smd+8314"}',
            b"",
            b'{"31":"N/A","85":7,"topic":"smd+265598@NYSE"}',
            b"ech+hb",
            b'{"_updated":"1767225600623","topic":"smd+0;;;1/1,2/-1"}',
            b'{"topic":"sor","args":[{"31":"1"}]}',
        ],
        received_ns=RECEIVED_NS,
    )
    ticks = cf.TickDecoder().decode(batch)
    assert ticks.fields == DEFAULT_TICK_FIELDS == ("31", "84", "85", "86", "88", "_updated")
    assert len(ticks) == 3
    assert ticks.malformed == 0
    assert ticks.rows.tolist() == [1, 3, 5]
    assert ticks.conids.tolist() == [8314, 265598, 0]
    assert ticks.received_ns.tolist() == [RECEIVED_NS] * 3
    assert ticks.values("31")[0] == 4735.10
    assert ticks.valid("31").tolist() == [1, 0, 0]
    assert ticks.prefixes("31").tolist() == [ord("C"), 0, 0]
    assert ticks.values("84")[0] == 187.02
    assert ticks.values("85")[1] == 7.0
    assert ticks.values("88")[0] == 12_200_000.0
    assert ticks.values("_updated")[0] == 1767225600123
    assert ticks.values("_updated")[2] == 1767225600623
    assert ticks.valid("86").tolist() == [0, 0, 0]
    for field in ticks.fields:
        assert [math.isnan(value) for value in ticks.values(field)] == [not valid for valid in ticks.valid(field)]


def test_a_batch_without_market_data_gives_no_rows():
    ticks = cf.TickDecoder().decode(batch_of([b'{"topic":"system"}']))
    assert len(ticks) == 0
    assert ticks.rows.tolist() == ticks.conids.tolist() == ticks.values("31").tolist() == []
    assert np.asarray(ticks.values("31")).dtype == np.float64


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("value", [value for value, _ in NUMBERS] + NO_NUMBERS, ids=repr)
def test_every_form_of_the_number_texts(value: object, strict: bool):
    if isinstance(value, bytes) or (isinstance(value, int) and value >= 2**64):
        value = repr(value)
    payload = frame_of(f'"31":{orjson.dumps(value).decode()}')
    ticks = TickDecoder(["31"], strict=strict).decode(batch_of([payload]))
    assert rows_of(ticks) == [[cell(orjson.loads(payload)["31"])]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"1300,000"', None),
        ('"1/5"', None),
        ('"."', None),
        ('"-0"', -0.0),
        ('"-0.000"', -0.0),
        ('"0e99999999999"', 0.0),
        ("-0", 0.0),
        ("-0.0", -0.0),
        ('"5e-324"', 5e-324),
        ('"2.4703282292062328e-324"', 5e-324),
        ('"2.2250738585072011e-308"', 2.2250738585072011e-308),
        ("2.2250738585072011e-308", 2.2250738585072011e-308),
        ('"1e-999"', 0.0),
        ('"1.7976931348623157e308"', 1.7976931348623157e308),
        ('"9007199254740993"', 9007199254740992.0),
        ('"9007199254740993.0000000000000000001"', 9007199254740994.0),
        ("9007199254740993", 9007199254740992.0),
        ("18446744073709551615", 18446744073709551616.0),
        ("18446744073709551617", 18446744073709551616.0),
        ("-9223372036854775809", -9223372036854775808.0),
        ("2.0201311791131118E8", 2.0201311791131118e8),
        ('"0.1000000000000000055511151231257827"', 0.1),
        ('"123,456,789,012,345,678,901"', 123456789012345678901.0),
        ('"8.98846567431158e+307K"', None),
        ('"\\u0031\\u002e5"', 1.5),
        ('"C\\u0031"', 1.0),
        ('"1\\n"', None),
        ('"1.5\u00e9"', None),
        ('"1.5" ', 1.5),
        ("[1.5]", None),
        ('{"31":1.5}', None),
        ("null", None),
        ("true", None),
    ],
)
def test_numbers_at_the_edges(text: str, value: float | None):
    for strict in (False, True):
        ticks = decode_one(f'"31":{text}', strict=strict)
        assert ticks.valid("31")[0] == (value is not None)
        if value is not None:
            assert struct.pack("d", ticks.values("31")[0]) == struct.pack("d", value)
        assert ticks.malformed == 0


def test_a_prefix_without_a_finite_number():
    ticks = decode_one('"31":"H1e999"')
    assert ticks.valid("31")[0] == 0
    assert chr(ticks.prefixes("31")[0]) == "H"


@pytest.mark.parametrize(
    ("members", "value"),
    [
        ('"31":"1","31":"2"', 2.0),
        ('"31":"1","31":"N/A"', None),
        ('"31":"1","31":null', None),
        ('"31":null,"31":"1"', 1.0),
        ('"31":"1","\\u00331":"2"', 2.0),
        ('"\\u00331":"2","31":"1"', 1.0),
        ('"a":{"31":"2"},"b":["31",{"31":3}]', None),
        ('"31":"1","a":{"31":"2"}', 1.0),
        ('"a":"\\",\\"31\\":\\"7\\"","31":"1"', 1.0),
        ('"a":"\\\\","31":"1"', 1.0),
        ('"a":"x","310":"2","3":"4","31 ":"5","":"6"', None),
        (' "31" : "1" ', 1.0),
        ('\n"31"\t:\r1\n', 1.0),
        ('"31":1 ,"x":2', 1.0),
        ('"6508":"&serviceID1=101&serviceID2=102&serviceID3=103","31":"1"', 1.0),
    ],
)
def test_which_member_counts(members: str, value: float | None):
    for strict in (False, True):
        ticks = decode_one(members, strict=strict)
        assert ticks.malformed == 0
        assert ticks.valid("31")[0] == (value is not None)
        assert value is None or ticks.values("31")[0] == value


def test_a_key_of_zero_bytes_is_not_a_field():
    # Not JSON, but routed by its end; and in memory eight zeros look like a place in the table that nothing is in.
    for length in range(1, 17):
        payload = b'{"' + b"\0" * length + b'":"5","topic":"smd+1"}'
        for strict in (False, True):
            ticks = TickDecoder(["31"], strict=strict).decode(batch_of([payload]))
            assert rows_of(ticks) == [[NOTHING]]


def test_keys_of_every_length():
    fields = ["x" * length for length in range(1, 33)] + ["y" * length for length in range(1, 33)]
    members = ",".join(f'"{field}":"{index}"' for index, field in enumerate(fields))
    ticks = decode_one(members, fields)
    assert [ticks.values(field)[0] for field in fields] == list(map(float, range(len(fields))))
    others = ",".join(f'"{field[:-1]}z":"1","{field}x1":"1"' for field in fields)
    ticks = decode_one(others, fields)
    assert not any(ticks.valid(field)[0] for field in fields)


def test_hundreds_of_fields():
    fields = [f"{code}_raw" for code in range(7000, 8600)]
    decoder = TickDecoder(fields)
    members = ",".join(f'"{field}":{index}.5' for index, field in enumerate(fields))
    ticks = decoder.decode(batch_of([frame_of(members), frame_of('"7000_raw":1')]))
    assert [ticks.values(field)[0] for field in fields] == [index + 0.5 for index in range(len(fields))]
    assert ticks.valid("7000_raw").tolist() == [1, 1]
    assert ticks.valid("7001_raw").tolist() == [1, 0]


def test_a_key_that_ends_the_payload():
    decoder = CDecoder(TickDecoder(["31", "_updated"]))
    for payload in (b'{"31":1}', b'{"31":"1"}', b'{"_updated":7,"31":1}', b' {"31" : 1 } '):
        assert decoder.decode_bytes(payload) == (1, expected(payload, ("31", "_updated")))
        assert decoder.walk_bytes(payload) is not None


def test_invalid_utf8_is_read_as_by_payload():
    counters = cf.FrameCounters()
    builder = cf.BatchBuilder(counters)
    # In an unwanted value, in a wanted value, in a key, and in a frame that takes the slow path.
    builder.append(b'{"55":"\x99","31":"1.5","topic":"smd+1"}')
    builder.append(b'{"31":"1.5\x99","84":2,"topic":"smd+1"}')
    builder.append(b'{"31\xc3":"2","31":"1.5","topic":"smd+1"}')
    builder.append(b'{"55":"\x99","31":"\\u0031.5","topic":"smd+1"}')
    batch = builder.finish(1)
    assert batch is not None
    ticks = TickDecoder(["31", "84"]).decode(batch)
    assert ticks.malformed == 0
    assert ticks.valid("31").tolist() == [1, 0, 1, 1]
    assert ticks.valid("84").tolist() == [0, 1, 0, 0]
    assert [ticks.values("31")[row] for row in (0, 2, 3)] == [1.5] * 3
    assert counters.payloads_repaired == 1
    assert counters.payload_errors == 0


NOT_JSON = [
    b'{"31":"1.5","84":"2,"topic":"smd+1"}',
    b'{"31":"1.5" "84":"2","topic":"smd+1"}',
    b'{"31":"1.5";"x":1,"topic":"smd+1"}',
    b'{"31":"1.5",,"topic":"smd+1"}',
    b'{"31":"1.5","84":01,"topic":"smd+1"}',
    b'{"31":"1.5","84":1.,"topic":"smd+1"}',
    b'{"31":"1.5","84":1e,"topic":"smd+1"}',
    b'{"31":"1.5","84":-,"topic":"smd+1"}',
    b'{"31":"1.5","84":1e400,"topic":"smd+1"}',
    b'{"31":"1.5","84":"\\x41","topic":"smd+1"}',
    b'{"topic":"smd+1","31":"1.5"',
    b'{"topic":"smd+1","31":"1.5',
    b'{"topic":"smd+1","31":1.5',
    b'{"topic":"smd+1","31":',
    b'{"topic":"smd+1","31"',
    b'{"topic":"smd+1","31',
    b'{"topic":"smd+1",',
    b'{"topic":"smd+1"',
    b'{"topic":"smd+1","31":"1.5"}}',
    b'{"topic":"smd+1","31":"1.5"} x',
    b'{"topic":"smd+1","31":"1.5",}',
    b'[{"31":"1.5","topic":"smd+1"}',
]


@pytest.mark.parametrize("payload", NOT_JSON)
def test_a_routed_frame_that_is_not_json_is_counted(payload: bytes):
    counters = cf.FrameCounters()
    builder = cf.BatchBuilder(counters)
    builder.append(payload)
    builder.append(frame_of('"31":"2.5"'))
    batch = builder.finish(1)
    assert batch is not None
    for errors, strict in ((1, False), (2, True)):
        ticks = TickDecoder(["31", "84"], strict=strict).decode(batch)
        assert ticks.malformed == 1
        assert rows_of(ticks) == [[NOTHING, NOTHING], [cell("2.5"), NOTHING]]
        assert counters.payload_errors == errors


@pytest.mark.parametrize(
    "payload",
    [
        b'{"31":"1.5","x":nul,"topic":"smd+1"}',
        b'{"31":"1.5","x":[}},"topic":"smd+1"}',
        b'{"31":"1.5","x":"\\x","topic":"smd+1"}',
        b'{"31":"1.5","x":"\t","topic":"smd+1"}',
        b'{"31":"1.5","x":"\\ud800","topic":"smd+1"}',
        b'{"31":"1.5","x":1e999,"topic":"smd+1"}',
    ],
)
def test_errors_in_values_that_are_not_read_need_a_strict_decoder(payload: bytes):
    """What is documented for text that is not JSON: the fields as they are written, or nothing and counted."""
    assert expected(payload, ["31"]) is None
    lazy = TickDecoder(["31"]).decode(batch_of([payload]))
    check_row(payload, ["31"], rows_of(lazy)[0])
    strict = TickDecoder(["31"], strict=True).decode(batch_of([payload]))
    assert rows_of(strict) == [[NOTHING]]
    assert strict.malformed == 1


def test_the_comparison_detects_wrong_values():
    payload = frame_of('"31":"1.5","84":"C2"')
    right = [cell("1.5"), cell("C2")]
    check_row(payload, ["31", "84"], right)
    for wrong in ([cell("1.5"), cell("2")], [cell("1.25"), cell("C2")], [NOTHING, cell("C2")]):
        with pytest.raises(AssertionError):
            check_row(payload, ["31", "84"], wrong)
    broken = payload[:-1]
    check_row(broken, ["31", "84"], [NOTHING, NOTHING])
    check_row(broken, ["31", "84"], right)
    with pytest.raises(AssertionError):
        check_row(broken, ["31", "84"], [cell("2.5"), NOTHING])
    with pytest.raises(AssertionError):
        check_row(broken, ["31", "84"], right, strict=True)
    assert spelled(broken, "31") == {NOTHING, cell("1.5")}


def test_every_fixture():
    texts = list(frames.corpus())
    fields = ["31", "83", "84", "85", "86", "87", "87_raw", "88", "7059", "6509", "conid", "_updated", "server_id"]
    for strict in (False, True):
        assert check_payloads(texts, TickDecoder(fields, strict=strict)) > 3


def test_frames_of_gateways_do_not_need_the_slow_path():
    """The slow path gives the same results, so no other test would fail if the walk rejected every frame."""
    decoder = CDecoder(TickDecoder(["31", "83", "84", "85", "86", "87", "87_raw", "88", "conid", "_updated"]))
    payloads = [text for text in frames.corpus() if text.startswith(b"{") and text.endswith(b'"topic":"smd+8314"}')]
    payloads.append(frame_of('"31":"C4,735.10","84":"H-0.5","85":"1,300","86":"+0.84%","87":"65595.7B","88":"N/A"'))
    payloads.append(frame_of('"83":-0.31,"87_raw":2.02013117E8,"_updated":1767225600123,"31":"271.6712345678"'))
    payloads.append(frame_of('"6004":"a\\\\b \\"c\\" \\u00e9","7051":["x",{"31":"]"}],"31":"1","x":null,"y":true'))
    assert len(payloads) > 10
    assert [payload for payload in payloads if decoder.walk_bytes(payload) is None] == []


class FieldName(StrEnum):
    LAST = "31"


def test_market_data_fields_are_fields():
    assert cf.TickDecoder([FieldName.LAST]).fields == ("31",)
    decoder = cf.TickDecoder(cf.MarketDataFields.default_l1())
    assert decoder.fields == ("31", "84", "86", "85", "88", "87")
    assert cf.TickDecoder(field for field in ["83", "_updated"]).fields == ("83", "_updated")
    assert cf.TickDecoder(None).fields == DEFAULT_TICK_FIELDS


def test_texts_are_dictionary_encoded():
    decoder = cf.TickDecoder(["symbol", "31", "6509", "9999"])
    first = decoder.decode(
        batch_of(
            [
                frame_of('"55":"AAPL","31":"1","6509":"RpB"'),
                frame_of('"55":"caf\u00e9","9999":"new","6509":null'),
                frame_of('"55":"A\\u0041PL","31":"N/A","6509":""'),
                frame_of('"55":5,"31":{},"6509":"RpB","9999":7'),
            ]
        )
    )
    assert first.texts("55") == first.texts("symbol") == ["AAPL", "caf\u00e9", "AAPL", None]
    assert first.texts("market_data_availability") == ["RpB", None, "", "RpB"]
    assert first.texts("9999") == [None, "new", None, None]
    assert first.codes("55").tolist() == [0, 2, 0, -1]
    assert first.valid("55").tolist() == [1, 1, 1, 0]
    assert first.dictionary[:4] == ("AAPL", "RpB", "caf\u00e9", "new")
    # The codes of the same decoder stay the same.
    second = decoder.decode(batch_of([frame_of('"55":"AAPL","9999":"newer"')]))
    assert second.codes("55").tolist() == [0]
    assert second.texts("9999") == ["newer"]
    assert first.texts("55")[0] == "AAPL"
    assert decoder.mismatches == {"55": 1, "31": 1, "6509": 0, "9999": 1}


def test_numbers_and_texts_are_not_mixed_up():
    ticks = decode_one('"31":"1","55":"A"', ["31", "55"])
    for call in (ticks.codes, ticks.texts):
        with pytest.raises(cf.ConfigError, match=r"'31' is a number; use values\(\)"):
            call("31")
    for call in (ticks.values, ticks.prefixes):
        with pytest.raises(cf.ConfigError, match=r"'55' is a text; use codes\(\) or texts\(\)"):
            call("55")


@pytest.mark.parametrize("strict", [False, True])
def test_mismatches_are_counted_once(strict: bool):
    decoder = cf.TickDecoder(["31", "55"], strict=strict)
    for members in (
        '"31":"abc"',
        '"31":true',
        '"31":[1]',
        '"31":"x","84":"\\u0041"',
        '"31":"x","55":"\\u0041"',
        '"55":{}',
    ):
        decoder.decode(batch_of([frame_of(members)]))
    for members in ('"31":"N/A"', '"31":"-"', '"31":""', '"31":null', '"55":null', '"55":""', '"31":"x","31":"1"'):
        decoder.decode(batch_of([frame_of(members)]))
    assert decoder.mismatches == {"31": 5, "55": 1}


def test_a_table_of_texts_that_grows_is_replaced():
    decoder = cf.TickDecoder(["55"])
    kept = decoder.decode(batch_of([frame_of('"55":"kept"')]))
    for start in range(0, 70_000, 10_000):
        decoder.decode(batch_of([frame_of(f'"55":"{number}"') for number in range(start, start + 10_000)]))
    assert len(decoder.decode(batch_of([frame_of('"55":"new"')])).dictionary) < 10_000
    assert kept.texts("55") == ["kept"]


def test_a_column_is_found_by_code_and_by_key():
    decoder = cf.TickDecoder(["last_price", "84", "_updated", "conid"])
    assert decoder.fields == ("31", "84", "_updated", "conid")
    ticks = decoder.decode(batch_of([frame_of('"31":"C5.5","84":"6","conid":8314')]))
    assert list(ticks.values("last_price")) == list(ticks.values("31")) == [5.5]
    assert list(ticks.values("bid_price")) == [6.0]
    assert list(ticks.prefixes("last_price")) == [67]
    assert list(ticks.values("conid")) == [8314.0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("31", "must be a list such as"),
        (b"31", "must be a list such as"),
        (31, "must be a list such as"),
        ([], "at least one field"),
        ([31], "must be a str such as '31', not a int"),
        ([None], "not a NoneType"),
        (["31", "84", "31"], "'31' is given twice"),
        (["last_price", "31"], "'31' is given twice"),
        (["bid_prise"], "Did you mean bid_price"),
        ([""], "'' is invalid"),
        (["31 "], "'31 ' is invalid"),
        (["3\N{SUPERSCRIPT ONE}"], "is invalid"),
        (["\N{ARABIC-INDIC DIGIT ONE}"], "is invalid"),
        (['3"1'], "is invalid"),
        (["31\n"], "is invalid"),
        (["x" * 33], "is invalid"),
    ],
)
def test_invalid_fields_raise(fields: object, message: str):
    with pytest.raises(cf.ConfigError) as caught:
        cf.TickDecoder(fields)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_an_unknown_field_raises():
    ticks = decode_one('"31":"1"')
    for read in (ticks.values, ticks.valid, ticks.prefixes):
        for field in ("84", "", 31, None, ["31"]):
            with pytest.raises(cf.ConfigError, match="give it to TickDecoder"):
                read(field)  # type: ignore[arg-type]


def test_only_a_batch_can_be_decoded():
    for wrong in (None, b"{}", [batch_of([b"{}"])]):
        with pytest.raises(TypeError):
            cf.TickDecoder().decode(wrong)  # type: ignore[arg-type]


def test_the_columns_are_plain_buffers():
    ticks = decode_one('"31":"1.5","84":"2.5"', ["31", "84"])
    for view, form, size in (
        (ticks.rows, "i", 4),
        (ticks.conids, "q", 8),
        (ticks.received_ns, "q", 8),
        (ticks.values("84"), "d", 8),
        (ticks.valid("84"), "B", 1),
        (ticks.prefixes("84"), "B", 1),
    ):
        assert (view.format, view.itemsize, view.shape, view.strides) == (form, size, (1,), (size,))
        assert view.readonly
        assert view.contiguous
        with pytest.raises(TypeError):
            view[0] = 0
        array = np.asarray(view)
        assert not array.flags.owndata
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    first, again = np.asarray(ticks.values("31")), np.asarray(ticks.values("31"))
    assert first.ctypes.data == again.ctypes.data


def test_a_view_outlives_ticks_batch_and_decoder():
    decoder = cf.TickDecoder(["31"])
    batch = batch_of(frame_of(f'"31":"{index}.5"') for index in range(1000))
    ticks = decoder.decode(batch)
    views = [ticks.values("31"), ticks.valid("31"), ticks.conids, ticks.rows]
    array = np.asarray(views[0])
    del decoder, batch, ticks
    gc.collect()
    # Whatever was freed is used again now.
    noise = [cf.TickDecoder(["31"]).decode(batch_of([frame_of('"31":"7"')])) for _ in range(200)]
    assert array.tolist() == [index + 0.5 for index in range(1000)]
    assert views[1].tolist() == [1] * 1000
    assert views[2].tolist() == [8314] * 1000
    assert views[3].tolist() == list(range(1000))
    assert len(noise) == 200


def test_ticks_do_not_keep_the_batch():
    batch = batch_of([frame_of('"31":"1"'), frame_of('"31":"\\u0031"')])
    before = sys.getrefcount(batch)
    ticks = cf.TickDecoder().decode(batch)
    views = [ticks.values("31"), ticks.rows, ticks.conids, ticks.received_ns]
    assert sys.getrefcount(batch) == before
    assert len(views) == 4


def test_neither_called_nor_pickled():
    with pytest.raises(TypeError, match="class cannot be called"):
        Ticks()
    ticks = decode_one('"31":"1"')
    decoder = TickDecoder(["31"])
    for thing in (ticks, decoder):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
        with pytest.raises(TypeError):
            copy.copy(thing)
    empty = Ticks.__new__(Ticks)
    assert len(empty) == 0
    assert empty.fields == ()
    assert empty.rows.tolist() == empty.conids.tolist() == []
    with pytest.raises(cf.ConfigError):
        empty.values("31")
    assert TickDecoder.__new__(TickDecoder).decode(batch_of([frame_of('"31":"1"')])).values("31")[0] == 1.0
    with pytest.raises(TypeError):
        weakref.ref(ticks)


def test_repr():
    assert repr(cf.TickDecoder(["31", "84"])) == "TickDecoder(['31', '84'])"
    assert repr(cf.TickDecoder(["31"], strict=True)) == "TickDecoder(['31'], strict=True)"
    assert repr(decode_one('"31":"1"')) == "<Ticks 1 rows 1 fields>"


@pytest.mark.parametrize(
    ("payload", "is_json", "is_walked"),
    [
        (b'{"31":"C1.5","topic":"smd+1"}', 1, True),
        (b'{"31":"\\u0031","topic":"smd+1"}', 1, False),
        (b'{"31":"1.5","topic":"smd+1"', 0, False),
        (b'["31"]', 1, False),
        (b'"31"', 1, False),
        (b"{}", 1, False),
        (b'{"31":"1.5"}', 1, True),
        (b"ech+hb", 0, False),
    ],
)
def test_the_c_interface(payload: bytes, is_json: int, is_walked: bool):
    fields = ("31", "84")
    decoder = CDecoder(TickDecoder(fields))
    row = expected(payload, fields) or [NOTHING, NOTHING]
    assert decoder.decode_bytes(payload) == (is_json, row)
    assert decoder.walk_bytes(payload) == (row if is_walked else None)
    strict = CDecoder(TickDecoder(fields, strict=True))
    assert strict.decode_bytes(payload) == (is_json, row)
