"""What can be set, as frozen values. conf/lakehouse.toml explains each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator


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

    @property
    def location(self) -> str:
        """The root as every part of Delta takes it: a URL, or an absolute path."""
        if not self.is_local:
            return self.root
        path = self.root.removeprefix("file://").removeprefix("file:")
        return str(Path(path).expanduser().absolute())


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


class BreakerSettings(Settings):
    """When a silver stream stops because too much of what comes is refused."""

    share: float = Field(default=0.0, ge=0, lt=1)
    window_rows: int = Field(default=10_000, ge=1)
    least_rows: int = Field(default=1_000, ge=1)


class ValidationSettings(Settings):
    """When the owner of a silver stream has the expectations of its table checked."""

    every_batches: int = Field(default=100, ge=0)
    every_minutes: float = Field(default=60.0, ge=0)


class UpkeepSettings(Settings):
    """What the owner of a stream does for its tables, and when."""

    vacuum_hours: float = Field(default=0.0, ge=0)


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


class AlarmSettings(Settings):
    """Where alarms go."""

    urls: SecretStr | None = Field(default=None, description="from the environment only")
    timeout_seconds: float = Field(default=10.0, gt=0)


class LogSettings(Settings):
    """How the log reads."""

    level: Literal["info", "debug"] = "info"
    format: Literal["text", "json"] = "text"


class MetricsSettings(Settings):
    """Where Prometheus finds the metrics of a running stream."""

    serve: bool = True
    bronze_port: int = Field(default=0, ge=0, le=65535)
    silver_port: int = Field(default=0, ge=0, le=65535)

    def port(self, layer: str) -> int:
        """Return the port of *layer*; 0 is any that is free."""
        return {"bronze": self.bronze_port, "silver": self.silver_port}[layer]


class Config(Settings):
    """Every setting of conf/lakehouse.toml."""

    internal = frozenset({"folder"})

    lake: LakeSettings
    state: StateSettings = StateSettings()
    kafka: KafkaSettings
    streams: StreamSettings = StreamSettings()
    breaker: BreakerSettings = BreakerSettings()
    validation: ValidationSettings = ValidationSettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    spark: SparkSettings = SparkSettings()
    jars: JarSettings = JarSettings()
    alarms: AlarmSettings = AlarmSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    folder: Path = Field(exclude=True)

    @model_validator(mode="after")
    def _state_needs_a_folder(self) -> Self:
        if not self.state.dir and not self.lake.is_local:
            raise ValueError("state.dir must name a local folder when lake.root is a URL")
        return self

    @property
    def state_dir(self) -> Path:
        """The local folder with locks, requests and status files."""
        own = self.state.dir or f"{self.lake.location}/_state"
        return Path(own).expanduser().absolute()
