"""Settings as one dataclass tree: YAML file, then ``key.sub=value`` overrides, strictly checked."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from llasa.errors import LlasaError

T = TypeVar("T")


def load_settings(kind: type[T], path: str | Path | None, overrides: list[str]) -> T:
    """Read YAML and apply overrides such as ``optimizer.rate=1e-4``.

    Raises:
        LlasaError: the file is missing or not YAML, or a key is unknown (with the nearest valid
            one), or a value has the wrong type.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = yaml.safe_load(Path(path).read_text()) or {}
        except OSError as error:
            raise LlasaError(f"settings file {path} cannot be read: {error.strerror}") from error
        except yaml.YAMLError as error:
            raise LlasaError(f"settings file {path} is not valid YAML: {error}") from error
        if not isinstance(values, dict):
            raise LlasaError(f"settings file {path} must hold keys and values")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise LlasaError(f"override {override!r} has no '='; write key=value")
        _assign(values, key.split("."), yaml.safe_load(text))
    return build(kind, values)


def _assign(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        branch = tree.setdefault(key, {})
        if not isinstance(branch, dict):
            raise LlasaError(f"setting {key!r} holds a value, not further keys")
        tree = branch
    tree[keys[-1]] = value


def build(kind: type[T], values: Any, where: str = "") -> T:
    """Nested mappings to a dataclass tree; see ``load_settings`` for errors."""
    if not isinstance(values, dict):
        raise LlasaError(f"setting {where or 'file'!r} must hold keys, not {values!r}")
    hints = get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1, 0.0)
            hint = f"; nearest valid: {where}{near[0]}" if near else ""
            raise LlasaError(f"unknown setting {where}{key}{hint}")
    try:
        return kind(**{k: _convert(hints[k], v, f"{where}{k}") for k, v in values.items()})
    except TypeError as error:
        missing = str(error).rpartition(":")[2].strip() or str(error)
        raise LlasaError(f"setting {where}{missing} is required") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else build(typing.cast(type, hint), value, where + ".")  # type: ignore[arg-type]
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            raise LlasaError(f"setting {where} must be a list, not {value!r}")
        return origin(_convert(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is typing.Literal:
        if value not in args:
            raise LlasaError(f"setting {where} is {value!r}; valid: {', '.join(map(str, args))}")
        return value
    if hint is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:  # YAML reads 1e-4 as text
            return float(value)
        except ValueError:
            pass
    if hint in (int, float, str, bool) and type(value) is not hint:
        raise LlasaError(f"setting {where} must be of type {hint.__name__}, not {value!r}")
    return value


def as_dict(settings: Any) -> dict[str, Any]:
    """The settings tree as plain nested dictionaries (JSON and YAML safe)."""
    return typing.cast(dict[str, Any], dataclasses.asdict(settings))
