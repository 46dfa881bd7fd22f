"""Settings: conf/lakehouse.toml, then conf/env/NAME.toml, then environment variables.

Read once into the frozen values of `lakehouse.settings`; raw dictionaries never leave this module.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from lakehouse.errors import ConfigError
from lakehouse.settings import Config, Settings, StreamSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

Model = TypeVar("Model", bound="Settings")

PREFIX = "LAKEHOUSE__"
# What must never stand in a file, whichever setting or client option it is.
SECRET = re.compile(
    r"passw|secret|jaas|credential|token|sasl_username|ssl\.key(store\.key)?$|^alarms\.urls$",
    re.IGNORECASE,
)


def load(folder: Path, env: str | None = None) -> Config:
    """Return the settings in *folder*, with those of *env* and of the environment over them.

    Relative paths mean what they mean in the shell: relative to the working directory.

    Raises:
        ConfigError: FILE_MISSING, FILE_UNREADABLE, UNKNOWN_KEY, BAD_VALUE or SECRET_IN_FILE, each
            naming the file or variable and the key.
    """
    base = folder / "lakehouse.toml"
    layers: list[tuple[str, dict[str, Any]]] = [
        (str(base), read_toml(base, "it holds every setting"))
    ]
    if env:
        file = folder / "env" / f"{env}.toml"
        layers.append((str(file), read_toml(file, f"it holds the settings of environment '{env}'")))
    for file_name, layer in layers:
        _refuse_secrets(file_name, layer)
        _refuse_unknown(file_name, layer)
    for variable, layer in _from_environment(os.environ):
        _refuse_unknown(variable, layer)
        _refuse_secrets(variable, layer, environment=True)
        layers.append((variable, layer))
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        merged = _over(merged, layer)
        origins.update((key, origin) for key, _ in _flatten(layer))
    return validated(Config, {**merged, "folder": folder}, str(base), origins)


def with_trigger(config: Config, trigger: str) -> Config:
    """Return *config* with another time between micro-batches."""
    streams = {**config.streams.model_dump(), "trigger": trigger}
    return config.model_copy(update={"streams": validated(StreamSettings, streams, "--trigger")})


def validated(
    model: type[Model], data: dict[str, Any], file: str, origins: Mapping[str, str] | None = None
) -> Model:
    """Return *data* as a *model*, or say in one line which key of *file* is wrong.

    *origins* names the source of each key that another than *file* holds.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A misspelt key is also missed under its right name; the former is what to tell.
        first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise unknown_key(file, key, model) from error
        of_key = [name for name in origins or () if f"{name}.".startswith(f"{key}.")]
        raise ConfigError(
            "BAD_VALUE",
            file=origins[of_key[-1]] if origins and of_key else file,
            key=key or "the file",
            value="what it is"
            if SECRET.search(key) or isinstance(first["input"], dict)
            else repr(first["input"]),
            reason=first["msg"].removeprefix("Value error, "),
        ) from error


def unknown_key(file: str, key: str, model: type[Settings]) -> ConfigError:
    """Return the error for a *key* that *model* does not know, naming the nearest one."""
    own = set(model.model_fields) - model.internal
    said = nearest(key, list(_keys(model)), own)
    return ConfigError("UNKNOWN_KEY", file=file, key=key, nearest=said)


def nearest(name: str, known: Collection[str], listed: Collection[str] | None = None) -> str:
    """Say which of *known* is most like *name*, or else which there are: *listed*, or all."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"it knows {', '.join(sorted(known if listed is None else listed))}"


def read_toml(file: Path, purpose: str) -> dict[str, Any]:
    """Return the content of *file*, or say that it is missing or where it is not TOML."""
    return parse_toml(read_text(file, purpose), str(file))


def read_text(file: Path, purpose: str) -> str:
    """Return the text of *file*, or say that it is missing and what it is for."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError("FILE_MISSING", file=file, purpose=purpose) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("FILE_UNREADABLE", file=file, reason=str(error)) from error


def parse_toml(text: str, file: str) -> dict[str, Any]:
    """Return what *text*, the content of *file*, says, or where it is not TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("FILE_UNREADABLE", file=file, reason=str(error)) from error


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for variable, value in sorted(environment.items()):
        if variable.startswith(PREFIX):
            *levels, name = variable.removeprefix(PREFIX).lower().split("__")
            layer: dict[str, Any] = {name: value}
            for level in reversed(levels):
                layer = {level: layer}
            yield f"environment variable {variable}", layer


def _refuse_unknown(file: str, layer: dict[str, Any]) -> None:
    """Refuse keys that no model knows, in the layer that holds them, so that the file is named."""
    known = set(_keys(Config))
    for key, value in _flatten(layer):
        open_ended = key.startswith(("kafka.options.", "spark.options."))
        section = key in known and any(other.startswith(f"{key}.") for other in known)
        if section and not isinstance(value, dict):
            raise ConfigError(
                "BAD_VALUE", file=file, key=key, value="a value", reason="it is a section"
            )
        if not open_ended and key not in known:
            raise unknown_key(file, key, Config)


def _refuse_secrets(file: str, layer: dict[str, Any], *, environment: bool = False) -> None:
    """Refuse secrets in a file, and among options, whose values are no secret to a trace."""
    for key, value in _flatten(layer):
        instead = _instead(key)
        if value and SECRET.search(key) and not (environment and key == instead):
            section, _, name = instead.partition(".")
            variable = f"{PREFIX}{section}__{name.replace('options.', 'options__', 1)}".upper()
            raise ConfigError("SECRET_IN_FILE", file=file, key=key, variable=variable)


def _instead(key: str) -> str:
    """Return the setting from the environment that serves in place of the secret *key*."""
    if key.startswith("spark.options."):
        return key
    section, _, name = key.partition(".")
    secrets = [setting for setting in _keys(Config) if SECRET.search(setting)]
    own = [setting for setting in secrets if setting.startswith(f"{section}.")]
    like = f"{section}.{name.removeprefix('options.').replace('.', '_')}"
    return difflib.get_close_matches(like, own or secrets, n=1, cutoff=0.0)[0]


def _keys(model: type[Settings], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if name not in model.internal:
            yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _keys(field.annotation, f"{prefix}{name}.")


def _flatten(layer: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in layer.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _over(below[key], value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return {**below, **above, **both}
