"""Messages for people: notifications (`ntf`), bulletins (`blt`), errors, and replies without a topic"""

from __future__ import annotations

from .member import JsonObject, Message, TextMember
from .member_types import FlagMember, IdMember, IntegerMember, ListMember, RowsMember


class Notification(JsonObject):
    """A notice, or a question about an order, which has a `req_id` and waits for an answer over REST."""

    __slots__ = ()

    id = IdMember("id", "the id of the notice")
    title = TextMember("title", "the title")
    text = TextMember("text", "the text")
    url = TextMember("url", "a page about it")
    order_id = IntegerMember("orderId", "the id of the order that the question is about")
    req_id = IdMember("reqId", "the id of the question")
    message_id = IdMember("messageId", "the id of the message")
    type = TextMember("type", "the type of the question")
    options = ListMember("options", "the possible answers")
    dismissable = ListMember("dismissable", "the answers that need not be given again")
    prompt = FlagMember("prompt", "whether it is a question")


class NotificationsMessage(Message):
    """Notices and questions about orders (`ntf`)."""

    __slots__ = ()

    notifications = RowsMember("args", Notification, "the notices and questions", may_be_object=True)


class Bulletin(JsonObject):
    """A bulletin of IB, such as an announcement of maintenance."""

    __slots__ = ()

    id = IdMember("id", "the id of the bulletin")
    message = TextMember("message", "the text")
    exchanges = ListMember("exchanges", "the exchanges that it is about")


class BulletinsMessage(Message):
    """Bulletins (`blt`)."""

    __slots__ = ()

    bulletins = RowsMember("args", Bulletin, "the bulletins", may_be_object=True)


class ErrorMessage(Message):
    """An error. Its topic, if it has one, is that of the subscribe that failed."""

    __slots__ = ()

    error = TextMember("error", "the text of the error")
    code = IntegerMember("code", "the code of the error")


class ReplyMessage(Message):
    """A message without a topic, such as `waiting for session`."""

    __slots__ = ()

    message = TextMember("message", "the text")
    result = TextMember("result", "the text of the reply to an unsubscribe")

    @property
    def is_waiting_for_session(self) -> bool:
        """Whether the gateway waits for the session id."""
        return self.message == "waiting for session"


class OtherMessage(Message):
    """Any other message: of a topic that is not documented, or of no known shape. Its members are in `extras`."""

    __slots__ = ()
