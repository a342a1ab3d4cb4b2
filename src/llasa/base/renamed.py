"""Public names that were changed: the former one works for one more version, with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed(former: str, current: str) -> Any:
    """An attribute or method, to be assigned to its former name in the body of the class."""

    def get(owner: object) -> Any:
        _warn(f"{type(owner).__name__}.{former}", current)
        return getattr(owner, current)

    return property(get)


def renamed_argument(former: str, current: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take a keyword argument under its former name, too."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            if former in kwargs:
                _warn(f"The argument {former} of {function.__name__}", current)
                kwargs[current] = kwargs.pop(former)
            return function(*args, **kwargs)

        return wrapper

    return decorate


def _warn(former: str, current: str) -> None:
    warnings.warn(f"{former} is now called {current}.", DeprecationWarning, stacklevel=3)
