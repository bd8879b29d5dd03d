"""Selects the class of a message by its topic, and decodes JSON objects that orjson rejects."""

from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from .member cimport Member, Message, new_object, shared_key

import decimal
import json

import orjson

from cpapi_fast.protocol.fields import DEFAULT_FIELDS as _DEFAULT_FIELDS

from .account import LedgerMessage, PnlMessage, SummaryMessage
from .history import DepthMessage, HistoryMessage
from .market_data import MarketDataMessage
from .notices import BulletinsMessage, ErrorMessage, NotificationsMessage, OtherMessage, ReplyMessage
from .orders import ExecutionsMessage, OrdersMessage
from .session import AccountsMessage, StatusMessage, SystemMessage, TicMessage


def _share_default_keys():
    # Keys of other members may have taken the places of the most frequent ones in orjson's cache.
    cdef Member member
    for member in MarketDataMessage.members().values():
        if member.key in _DEFAULT_FIELDS:
            member.key = shared_key(member.key)


_share_default_keys()

cdef str _ERROR_KEY = shared_key("error")
cdef str _TOPIC_KEY = shared_key("topic")

cdef type _MARKET_DATA = MarketDataMessage
cdef type _ERROR = ErrorMessage
cdef type _REPLY = ReplyMessage
cdef type _OTHER = OtherMessage

# The classes by channel.
cdef dict _CLASSES = {
    "smd": MarketDataMessage,
    "smh": HistoryMessage,
    "sbd": DepthMessage,
    "sor": OrdersMessage,
    "str": ExecutionsMessage,
    "spl": PnlMessage,
    "ssd": SummaryMessage,
    "sld": LedgerMessage,
    "system": SystemMessage,
    "sts": StatusMessage,
    "act": AccountsMessage,
    "ntf": NotificationsMessage,
    "blt": BulletinsMessage,
    "tic": TicMessage,
    "error": ErrorMessage,
}

cdef dict _BODY_KEYS = {cls: cls.body_key for cls in _CLASSES.values()}


cdef type _class_of(dict payload):
    cdef object topic = payload.get(_TOPIC_KEY)
    if type(topic) is str:
        return _CLASSES.get(topic.partition("+")[0], _OTHER)
    if "error" in payload:
        return _ERROR
    return _REPLY if "message" in payload or "result" in payload else _OTHER


cdef object message_of(object payload, bint is_market_data, int64_t received_ns):
    cdef type cls
    cdef PyObject* error
    cdef Message message
    if type(payload) is not dict:
        return None
    error = PyDict_GetItemWithError(payload, _ERROR_KEY)
    if error != NULL and type(<object>error) is str:
        cls = _ERROR
    elif is_market_data:
        cls = _MARKET_DATA
    else:
        cls = _class_of(<dict>payload)
    message = <Message>new_object(cls, <dict>payload, None if cls is _MARKET_DATA else _BODY_KEYS.get(cls))
    message._received_ns = received_ns
    return message


# Python refuses to convert longer texts to int, because that takes quadratic time.
cdef enum:
    MOST_DIGITS = 4000


def _exact_integer(text):
    return int(text) if len(text) <= MOST_DIGITS else _exact_decimal(text)


def _exact_float(text):
    cdef double number = float(text)
    # Infinity, because the number is too large for a float.
    return number if number - number == 0.0 else _exact_decimal(text)


def _exact_decimal(text):
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:
        raise ValueError("the exponent is too large") from None


def _not_json(_text):
    raise ValueError("NaN and Infinity are not JSON")


cdef object decode_object(bytes raw):
    cdef object payload = None
    try:
        payload = orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            payload = json.loads(
                raw.decode("utf-8", "replace"),
                parse_int=_exact_integer,
                parse_float=_exact_float,
                parse_constant=_not_json,
            )
        except (ValueError, RecursionError):
            return None
    return payload if type(payload) is dict else None
