"""Checks callbacks: a callback is a plain function, because nothing would run the coroutine of another one."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FunctionType, MethodType
from typing import Final

from .errors import CallbackError, ConfigError

_ADVICE: Final = (
    "Pass a plain function. To await something, read with `async for` instead, or start a task in the function with "
    "asyncio.create_task(...)."
)

#: What inspect calls coroutine functions, generator functions and asynchronous generator functions.
_NOT_PLAIN_FLAGS: Final = (
    inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_GENERATOR
)

#: What asyncio marks functions with that return a coroutine, such as those of older Cython and AsyncMock.
_ASYNCIO_MARK: Final = getattr(asyncio.coroutines, "_is_coroutine", object())


def check_callback(callback: object, name: str) -> None:
    """Refuse a callback that would never run: only calling it is not enough.

    Args:
        callback: what the user passed.
        name: the parameter, for the message.

    Raises:
        ConfigError: it cannot be called, or it is a coroutine function, a generator function, or an object with such a
            `__call__`. A coroutine is closed.
    """
    # The usual case first: timers are checked here too.
    function = callback.__func__ if type(callback) is MethodType else callback
    if type(function) is FunctionType and not (function.__code__.co_flags & _NOT_PLAIN_FLAGS or function.__dict__):
        return
    if not callable(callback):
        _close(callback)
        raise ConfigError(f"{name} must be a function, not {_described(callback)}. {_ADVICE}")
    kind = _kind_of(callback)
    if kind is not None:
        raise ConfigError(f"{name} is {kind}, and nothing would run what it returns. {_ADVICE}")


def refuse_awaitable(returned: object) -> None:
    """Refuse what a callback returned if nothing will ever run it. Call this only if it is not None.

    A task or future runs by itself, and any other object is ignored.

    Raises:
        CallbackError: it is a coroutine, which is closed, or another awaitable, or an asynchronous generator.
    """
    if inspect.isasyncgen(returned):
        what = "an asynchronous generator"
    elif isinstance(returned, Awaitable) and not asyncio.isfuture(returned):
        what = _described(returned)
        _close(returned)
    else:
        return
    raise CallbackError(f"a callback returned {what}, which nothing runs. {_ADVICE}")


def callback_error(error: BaseException, who: str, effect: str) -> CallbackError:
    """The error that reports a callback.

    Args:
        error: what the callback raised, or the error of `refuse_awaitable`; it becomes the `__cause__`.
        who: the callback.
        effect: what follows.
    """
    if isinstance(error, CallbackError):
        report = CallbackError(f"{who} returned something that nothing runs; {effect}. {error}")
    else:
        report = CallbackError(f"{who} raised {type(error).__name__}; {effect}")
    report.__cause__ = error
    return report


def _kind_of(callback: Callable[..., object]) -> str | None:
    """What a callable is that cannot be a callback; None for a plain function."""
    while isinstance(callback, functools.partial):
        callback = callback.func
    kind = _function_kind(callback)
    if kind is None and not isinstance(callback, type) and not inspect.isroutine(callback):
        kind = _function_kind(getattr(type(callback), "__call__", None))  # noqa: B004 - the method itself, not whether there is one
        if kind is not None:
            kind = f"an object of {type(callback).__name__}, whose __call__ is {kind}"
    return kind


def _function_kind(function: object) -> str | None:
    if isinstance(function, functools.partialmethod):
        function = function.func
    is_marked = getattr(function, "_is_coroutine", None) is _ASYNCIO_MARK
    if inspect.iscoroutinefunction(function) or is_marked:
        return "a coroutine function"
    if inspect.isasyncgenfunction(function):
        return "an asynchronous generator function"
    return "a generator function" if inspect.isgeneratorfunction(function) else None


def _described(value: object) -> str:
    return "a coroutine" if asyncio.iscoroutine(value) else f"an object of the type {type(value).__name__}"


def _close(value: object) -> None:
    """Close a coroutine that nothing will run, so that Python does not warn that it was never awaited."""
    close = getattr(value, "close", None)
    if isinstance(value, Awaitable) and callable(close):
        with suppress(Exception):
            close()
