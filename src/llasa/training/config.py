"""Settings as one dataclass tree: YAML file, then ``key.sub=value`` overrides, strictly checked."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import types
import typing
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from llasa.base.errors import LlasaError
from llasa.base.names import check_choice

T = TypeVar("T")
FORMERLY = "formerly"
"""Key in the metadata of a field for the name that it had in older files, which is still read."""


def load_settings(kind: type[T], path: str | Path | None, overrides: list[str]) -> T:
    """Read YAML and apply overrides such as ``optimizer.rate=1e-4``.

    What a file leaves out keeps its default, also inside a section that it names; only a section
    that chooses another ``kind`` starts from the defaults of its class.

    Raises:
        LlasaError: the file is missing or not YAML, or a key is unknown (with the nearest valid
            one), or a value has the wrong type.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise LlasaError(f"Settings file {path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise LlasaError(f"Settings file {path} is not a text file.") from error
        values = _parse(text, f"Settings file {path}") or {}
        if not isinstance(values, dict):
            raise LlasaError(f"Settings file {path} must hold keys and values.")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise LlasaError(f"Override {override!r} has no '=': write key=value.")
        _assign(values, key.strip().split("."), _parse(text, f"Override {override!r}"))
    return build(kind, values)


def _parse(text: str, what: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise LlasaError(f"{what} is not valid YAML: {reason}.") from error


def _assign(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        branch = tree.setdefault(key, {})
        if not isinstance(branch, dict):
            raise LlasaError(f"Setting {key!r} holds a value, not further keys.")
        tree = branch
    tree[keys[-1]] = value


def build(kind: type[T], values: Any, where: str = "", default: T | None = None) -> T:
    """Nested mappings to a dataclass tree; see ``load_settings`` for errors.

    What is not in ``values`` is taken from ``default``, or else from the class.
    """
    if not isinstance(values, dict):
        raise LlasaError(f"Setting {where.rstrip('.')} must hold keys, not {values!r}.")
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    renamed = {f.metadata[FORMERLY]: f.name for f in fields.values() if FORMERLY in f.metadata}
    for old, new in renamed.items():
        if old in values and new in values:
            raise LlasaError(f"Setting {where}{old} is now called {where}{new}: give one of them.")
    values = {renamed.get(key, key): value for key, value in values.items()}
    for key in values:
        check_choice(f"{where}{key}", [where + name for name in fields], "Setting")
    made: dict[str, Any] = {}
    for name, field in fields.items():
        start = _default(field) if default is None else getattr(default, name)
        if name in values:
            made[name] = _convert(hints[name], values[name], where + name, start)
        elif start is dataclasses.MISSING:
            raise LlasaError(f"Setting {where}{name} is required.")
        else:
            made[name] = start
    return kind(**made)


def _default(field: dataclasses.Field[Any]) -> Any:
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def _convert(hint: Any, value: Any, where: str, default: Any = None) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, hint):  # type: ignore[arg-type]
            return value
        kind = getattr(default, "kind", None)
        alike = isinstance(value, dict) and value.get("kind", kind) == kind
        return build(typing.cast(type, hint), value, where + ".", default if alike else None)
    if origin in (list, tuple):
        return origin(_items(args, value, where))
    if origin is typing.Literal:
        check_choice(value, args, f"Setting {where}:")
        return value
    return _plain(origin or hint, value, where)


def _plain(hint: Any, value: Any, where: str) -> Any:
    """A value without parts."""
    if hint is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):  # YAML reads 1e-4 as text
            value = float(value)
    if hint in (int, float, str, bool, dict) and type(value) is not hint:
        raise LlasaError(f"Setting {where} must be of type {hint.__name__}, not {value!r}.")
    if hint is float and not math.isfinite(value):
        raise LlasaError(f"Setting {where} must be a finite number, not {value!r}.")
    return value


def _items(args: tuple[Any, ...], value: Any, where: str) -> list[Any]:
    """Members of a list or tuple; a tuple of fixed length is checked for it."""
    if not isinstance(value, (list, tuple)):
        raise LlasaError(f"Setting {where} must be a list, not {value!r}.")
    if len(args) > 1 and args[1] is not Ellipsis and len(value) != len(args):
        raise LlasaError(f"Setting {where} must have {len(args)} members, not {value!r}.")
    return [_convert(args[0], item, f"{where}[{i}]") for i, item in enumerate(value)]


def as_dict(settings: Any) -> dict[str, Any]:
    """The settings tree as nested dictionaries and lists that JSON and YAML can hold."""
    return dict(json.loads(json.dumps(dataclasses.asdict(settings))))
