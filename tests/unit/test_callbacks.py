"""Callbacks: what is refused at once, what is refused when it was called, and what is accepted."""

from __future__ import annotations

import asyncio
import functools
import gc
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from cpapi_fast.callbacks import callback_error, check_callback, refuse_awaitable
from cpapi_fast.errors import CallbackError, ConfigError
from tests.support.compiled import compile_in, load


async def coroutine_function(*_: object) -> None: ...


async def asynchronous_generator(*_: object) -> AsyncIterator[int]:
    yield 1


def generator(*_: object) -> Iterator[int]:
    yield 1


class Methods:
    async def coroutine(self, *_: object) -> None: ...

    @classmethod
    async def of_class(cls, *_: object) -> None: ...

    @staticmethod
    async def static(*_: object) -> None: ...

    async def generator(self, *_: object) -> AsyncIterator[int]:
        yield 1

    partial = functools.partialmethod(coroutine, 1)

    def plain(self, *_: object) -> None: ...


class AsyncCall:
    async def __call__(self, *_: object) -> None: ...


class Inherited(AsyncCall): ...


class GeneratorCall:
    def __call__(self, *_: object) -> Iterator[int]:
        yield 1


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: object) -> None:
        await function(*args)

    return wrapper


#: What can be passed as a callback, and would do nothing.
REFUSED: dict[str, Any] = {
    "a coroutine function": coroutine_function,
    "a partial of one": functools.partial(coroutine_function, 1),
    "a partial of a partial": functools.partial(functools.partial(coroutine_function, 1), 2),
    "a method": Methods().coroutine,
    "a partial of a method": functools.partial(Methods().coroutine, 1),
    "a partial method": Methods().partial,
    "a class method": Methods.of_class,
    "a static method": Methods.static,
    "an object with an asynchronous __call__": AsyncCall(),
    "an object that inherits one": Inherited(),
    "the __call__ of one": AsyncCall().__call__,
    "a partial of such an object": functools.partial(AsyncCall(), 1),
    "an asynchronous generator function": asynchronous_generator,
    "a method that is one": Methods().generator,
    "a generator function": generator,
    "an object whose __call__ is a generator function": GeneratorCall(),
    "a decorated coroutine function": decorated(coroutine_function),
    "a lambda made of one": asyncio.sleep,
    "AsyncMock": mock.AsyncMock(),
    "the method of a queue": asyncio.Queue().put,
    "a number": 5,
    "a text": "print",
    "a list": [],
}

ACCEPTED: dict[str, Any] = {
    "a function": lambda *_: None,
    "a built-in function": print,
    "a built-in method": [].append,
    "a method": Methods().plain,
    "a partial": functools.partial(print, 1),
    "a class": Methods,
    "a class with an asynchronous __call__": AsyncCall,
    "Mock": mock.Mock(),
    "MagicMock": mock.MagicMock(),
    "a wrapper that runs one": functools.wraps(coroutine_function)(lambda *_: None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_never_run_is_refused_with_what_to_do_instead(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_callback(REFUSED[name], "on_item")
    text = str(caught.value)
    assert text.startswith("on_item ")
    assert "async for" in text
    assert "asyncio.create_task" in text


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_runs_when_it_is_called_is_accepted(name: str) -> None:
    check_callback(ACCEPTED[name], "on_item")


def test_a_coroutine_in_place_of_a_function_is_refused_and_closed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConfigError, match="not a coroutine"):
            check_callback(coroutine_function(), "on_item")
        gc.collect()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder = tmp_path_factory.mktemp("callbacks")
    source = """
async def coroutine_function(*arguments):
    pass

async def asynchronous_generator(*arguments):
    yield 1

def generator(*arguments):
    yield 1

def plain(*arguments):
    pass

def returning(*arguments):
    return coroutine_function()

class Methods:
    async def coroutine(self, *arguments):
        pass

    async def __call__(self, *arguments):
        pass

cdef class Extension:
    async def coroutine(self, *arguments):
        pass

    def plain(self, *arguments):
        pass
"""
    Path(folder / "cython_callbacks.pyx").write_text(source, encoding="utf-8")
    compile_in(folder, "-m", "Cython.Build.Cythonize", "-q", "-3", "-i", "cython_callbacks.pyx")
    return load(folder, "cython_callbacks")


def test_functions_of_cython_are_told_apart_as_those_of_python(compiled: ModuleType) -> None:
    for refused in (
        compiled.coroutine_function,
        compiled.asynchronous_generator,
        compiled.generator,
        compiled.Methods().coroutine,
        compiled.Methods(),
        compiled.Extension().coroutine,
        functools.partial(compiled.coroutine_function, 1),
    ):
        with pytest.raises(ConfigError, match="plain function"):
            check_callback(refused, "on_item")
    for accepted in (compiled.plain, compiled.returning, compiled.Extension().plain, compiled.Extension):
        check_callback(accepted, "on_item")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CallbackError, match="a coroutine"):
            refuse_awaitable(compiled.returning())
        gc.collect()


class Awaited:
    def __await__(self) -> Iterator[Any]:
        yield


async def test_an_awaitable_that_nothing_runs_is_refused_and_closed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for returned in (coroutine_function(), Awaited(), asynchronous_generator()):
            with pytest.raises(CallbackError, match=r"nothing runs\. Pass a plain function"):
                refuse_awaitable(returned)
        gc.collect()


async def test_what_runs_by_itself_and_other_values_are_accepted() -> None:
    task = asyncio.ensure_future(coroutine_function())
    future = asyncio.get_running_loop().create_future()
    for returned in (task, future, 5, "", [], object(), mock.MagicMock()):
        refuse_awaitable(returned)
    await task


def test_the_report_names_the_callback_and_has_the_cause() -> None:
    cause = ZeroDivisionError()
    report = callback_error(cause, "the callback", "it is called again")
    assert str(report) == "the callback raised ZeroDivisionError; it is called again"
    assert report.__cause__ is cause
    report = callback_error(CallbackError("a callback returned a coroutine."), "on_x", "it is called again")
    assert str(report).startswith("on_x returned something that nothing runs; it is called again. a callback")
