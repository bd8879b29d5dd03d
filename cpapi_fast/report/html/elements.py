"""Elements of HTML: a text from a file becomes part of a page only through `element`, which escapes it"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final

from cpapi_fast.printable import printable

#: A text of a table that is not longer stays on one line, in characters.
_SHORT: Final = 24


class Html(str):
    """A text that is HTML already. Any other text is escaped."""

    __slots__ = ()


def element(name: str, *children: object, **attributes: object) -> Html:
    """Return an element: `element("td", "a < b", class_="number")`.

    Args:
        name: the name of the tag.
        children: its content: `Html` as it is, anything else as printable and escaped text.
        attributes: its attributes. An underscore at the end is left out, any other one is a hyphen. None leaves the
            attribute out, True gives it no value.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escaped(value)}"')
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{joined(*children)}</{name}>")


def joined(*children: object) -> Html:
    """Return children one after the other, escaped as for `element`."""
    return Html("".join(child if isinstance(child, Html) else escaped(child) for child in children))


def escaped(value: object) -> str:
    """Return a value as text for an element or an attribute: printable, without characters of HTML."""
    return html.escape(printable(str(value)))


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Iterable[int] = ()) -> Html:
    """Return a table that scrolls inside of itself where it is wider than the page.

    Args:
        caption: what the table has, also for readers that cannot see the page.
        heads: the heads of the columns.
        rows: the rows. The first cell of each is its head.
        numbers: the columns whose cells are aligned to the right.
    """
    right = frozenset(numbers)

    def cell(at: int, content: object) -> Html:
        # A time or a word stays on one line, so that rows are as low as their longest text allows.
        class_ = "n" if at in right else "s" if len(str(content)) <= _SHORT else None
        return element("th" if at == 0 else "td", content, scope="row" if at == 0 else None, class_=class_)

    body = [element("tr", *(cell(at, content) for at, content in enumerate(row))) for row in rows]
    head = (element("th", text, scope="col", class_="n" if at in right else None) for at, text in enumerate(heads))
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)
