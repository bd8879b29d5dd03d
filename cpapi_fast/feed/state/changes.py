"""Changes: the callbacks for one kind of state, which get the new state after each change"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from cpapi_fast.callbacks import callback_error
from cpapi_fast.delivery.callback_consumer import CallbackConsumer

T = TypeVar("T")


class Changes(Generic[T]):
    """The callbacks of the users of a feed for one kind of state. They are called in the loop's thread.

    Args:
        kind: what the callbacks are for, in messages, such as `quote`.
        on_error: called with a `CallbackError` after a callback raised; its cause is the original exception.
        check: raises if a callback is closed from another loop or thread than that of the feed.
        on_empty: called after the last callback was closed.
    """

    def __init__(
        self,
        kind: str,
        on_error: Callable[[Exception], None],
        check: Callable[[], None],
        on_empty: Callable[[], None] = lambda: None,
    ) -> None:
        self._kind: Final = kind
        self._on_error: Final = on_error
        self._check: Final = check
        self._on_empty: Final = on_empty
        # Replaced and never changed in place, because callbacks are added and closed while they are called.
        self._consumers: tuple[CallbackConsumer, ...] = ()
        self._count = 0
        self._waiting: Final[deque[T]] = deque()
        self._is_busy = False
        self._interrupt: BaseException | None = None

    def __bool__(self) -> bool:
        """Whether there is a callback."""
        return bool(self._consumers)

    def add(self, callback: Callable[[T], None], name: str | None = None) -> CallbackConsumer:
        """Call `callback` with each change from now on.

        Raises:
            ConfigError: the callback is not a plain function.
        """
        self._count += 1
        name = f"{self._kind} {self._count}" if name is None else name
        who = f"the callback {name!r}"
        consumer = CallbackConsumer(
            name,
            callback,
            by_batch=False,
            on_error=lambda error: self._report(error, who),
            on_close=self._remove,
            check=self._check,
        )
        self._consumers = (*self._consumers, consumer)
        return consumer

    def call(self, state: T) -> None:
        """Call all callbacks. A change that one of them causes follows after all of them got this one."""
        if not self._consumers:
            return
        self._waiting.append(state)
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._waiting:
                state = self._waiting.popleft()
                for consumer in self._consumers:
                    consumer.put_event(state)
        finally:
            self._is_busy = False
        if self._interrupt is not None:
            # KeyboardInterrupt and SystemExit are raised after all callbacks were called.
            interrupt, self._interrupt = self._interrupt, None
            raise interrupt

    def end(self) -> None:
        """Call no callback from now on."""
        for consumer in self._consumers:
            consumer.end(None)
        self._consumers = ()

    def _remove(self, consumer: CallbackConsumer) -> None:
        self._consumers = tuple(other for other in self._consumers if other is not consumer)
        if not self._consumers:
            self._on_empty()

    def _report(self, error: BaseException, who: str) -> None:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._interrupt = error
        else:
            self._on_error(callback_error(error, who, "it is called again with the next change"))
