"""Settings: conf/lakehouse.toml, then conf/env/NAME.toml, then environment variables.

Read once into frozen values; raw dictionaries never leave this module. Knows neither Spark nor
Kafka.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from lakehouse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Model = TypeVar("Model", bound="Settings")

PREFIX = "LAKEHOUSE__"
# What must never stand in a file, whichever client option it is for.
SECRET = re.compile(
    r"passw|secret|jaas|credential|token|sasl_username|ssl\.key(store\.key)?$", re.IGNORECASE
)


class Settings(BaseModel):
    """Frozen: a setting that changed under a running stream would be a lie in its records."""

    # The input of a failed validation holds the secrets, and a trace would show it.
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )
    # Fields that the product fills in; to a file they are unknown keys.
    internal: ClassVar[frozenset[str]] = frozenset()


UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _interval(text: str) -> str:
    short = re.fullmatch(r"(\d+) *(ms|[smhd])", text)
    if short:
        return f"{short[1]} {UNITS[short[2]]}"
    if not re.fullmatch(r"\d+ (millisecond|second|minute|hour|day|week)s?", text):
        raise ValueError("write a number and a unit, such as '10 seconds', '500 ms' or '30 days'")
    return text


Interval = Annotated[str, AfterValidator(_interval)]


class LakeSettings(Settings):
    """Where the tables live."""

    root: str = Field(min_length=1)
    time_travel: Interval = "30 days"

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return "://" not in self.root or self.root.startswith("file:")


class StateSettings(Settings):
    """Where locks, requests and status files live."""

    dir: str = ""


class KafkaSettings(Settings):
    """How to reach Kafka, and how much to take at a time."""

    bootstrap: str = Field(min_length=1)
    starting_offsets: Literal["earliest", "latest"] = "earliest"
    max_offsets_per_trigger: int = Field(default=500_000, ge=1)
    retry_first_seconds: float = Field(default=1.0, gt=0)
    retry_longest_seconds: float = Field(default=30.0, gt=0)
    once_wait_seconds: float = Field(default=60.0, ge=0)
    options: dict[str, str] = {}
    sasl_username: SecretStr | None = Field(default=None, description="from the environment only")
    sasl_password: SecretStr | None = Field(default=None, description="from the environment only")
    ssl_truststore_password: SecretStr | None = None
    ssl_keystore_password: SecretStr | None = None
    ssl_key_password: SecretStr | None = None


class StreamSettings(Settings):
    """The rhythm of the streams."""

    trigger: Interval = "10 seconds"
    max_bytes_per_trigger: str = Field(default="256m", pattern=r"^[1-9]\d*[bkmg]?$")
    progress_every: int = Field(default=10, ge=1)
    backlog_after: int = Field(default=3, ge=1)
    stop_seconds: float = Field(default=300.0, gt=0)


class SparkSettings(Settings):
    """The Spark driver."""

    master: str = "local[*]"
    driver_memory: str = Field(default="2g", pattern=r"^[1-9]\d*[kmg]$")
    shuffle_partitions: int = Field(default=0, ge=0)
    options: dict[str, str] = {}


class JarSettings(Settings):
    """Where the jars lie."""

    dir: Annotated[Path, AfterValidator(lambda path: path.expanduser())] = Path()

    @model_validator(mode="before")
    @classmethod
    def _default(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("dir"):
            return {**data, "dir": Path.home() / ".cache" / "lakehouse" / "jars"}
        return data


class LogSettings(Settings):
    """How the log reads."""

    level: Literal["info", "debug"] = "info"
    format: Literal["text", "json"] = "text"


class Config(Settings):
    """Every setting of conf/lakehouse.toml."""

    internal = frozenset({"folder"})

    lake: LakeSettings
    state: StateSettings = StateSettings()
    kafka: KafkaSettings
    streams: StreamSettings = StreamSettings()
    spark: SparkSettings = SparkSettings()
    jars: JarSettings = JarSettings()
    log: LogSettings = LogSettings()
    folder: Path = Field(exclude=True)

    @model_validator(mode="after")
    def _state_needs_a_folder(self) -> Self:
        if not self.state.dir and not self.lake.is_local:
            raise ValueError("state.dir must name a local folder when lake.root is a URL")
        return self

    @property
    def state_dir(self) -> Path:
        """The local folder with locks, requests and status files."""
        root = self.lake.root.removeprefix("file://").removeprefix("file:")
        return Path(self.state.dir).expanduser() if self.state.dir else Path(root) / "_state"


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
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise unknown_key(file, key, model) from error
        of_key = [name for name in origins or () if f"{name}.".startswith(f"{key}.")]
        secret = SECRET.search(str(first["loc"][-1])) if first["loc"] else None
        raise ConfigError(
            "BAD_VALUE",
            file=origins[of_key[-1]] if origins and of_key else file,
            key=key or "the file",
            value="what it is"
            if secret or isinstance(first["input"], dict)
            else repr(first["input"]),
            reason=first["msg"].removeprefix("Value error, "),
        ) from error


def unknown_key(file: str, key: str, model: type[Settings]) -> ConfigError:
    """Return the error for a *key* that *model* does not know, naming the nearest one."""
    near = difflib.get_close_matches(key, list(_keys(model)), n=1, cutoff=0.5)
    known = sorted(set(model.model_fields) - model.internal)
    nearest = f"did you mean '{near[0]}'?" if near else f"it knows {', '.join(known)}"
    return ConfigError("UNKNOWN_KEY", file=file, key=key, nearest=nearest)


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
                "BAD_VALUE", file=file, key=key, value=repr(value), reason="it is a section"
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
    secrets = [name for name in _keys(Config) if name.startswith("kafka.") and SECRET.search(name)]
    name = f"kafka.{key.removeprefix('kafka.options.').removeprefix('kafka.').replace('.', '_')}"
    return difflib.get_close_matches(name, secrets, n=1, cutoff=0.0)[0]


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
