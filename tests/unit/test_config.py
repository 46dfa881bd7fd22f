"""Settings come from files and the environment, and whatever is wrong is named with its place."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import config
from lakehouse import settings as models
from lakehouse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONF = Path(__file__).parents[2] / "conf"
FILE = CONF / "lakehouse.toml"
BASE = '[lake]\nroot = "lake"\n[kafka]\nbootstrap = "base:9092"\n'
CANARY = "CANARY-7f3a"
SECRETS = {
    ("kafka", "sasl_username"),
    ("kafka", "sasl_password"),
    ("kafka", "ssl_truststore_password"),
    ("kafka", "ssl_keystore_password"),
    ("kafka", "ssl_key_password"),
    ("alarms", "urls"),
}


@pytest.fixture(autouse=True)
def _no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LAKEHOUSE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration folder with the two settings that have no default."""
    (tmp_path / "env").mkdir()
    (tmp_path / "lakehouse.toml").write_text(BASE)
    return tmp_path


def settings(model: type[models.Settings], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every setting of *model*, sections left out."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, models.Settings):
            yield from settings(kind, (*path, name))
        elif name not in model.internal:
            yield (*path, name)


EVERY = list(settings(models.Config))
IN_THE_FILE = [path for path in EVERY if path not in SECRETS]
WITH_DEFAULT = [p for p in IN_THE_FILE if p not in {("lake", "root"), ("kafka", "bootstrap")}]


def dotted(path: tuple[str, ...]) -> str:
    return ".".join(path)


def refused(folder: Path, env: str | None = None) -> ConfigError:
    """Return the error with which the configuration in *folder* is refused."""
    with pytest.raises(ConfigError) as caught:
        config.load(folder, env)
    return caught.value


def block(path: tuple[str, ...]) -> list[str]:
    """Return the lines of conf/lakehouse.toml that belong together with the setting at *path*.

    Those are the comment above it, the settings that share the comment, and for a table of options
    what stands in it.
    """
    section, name = (dotted(path), "") if path[-1] == "options" else path
    after = FILE.read_text().split(f"[{section}]\n")[1]
    body = re.split(r"^\[.+\]\n", after, flags=re.MULTILINE)[0]
    blocks = re.findall(r"((?:^#.*\n)*)((?:^[a-z].*\n)*)", body, flags=re.MULTILINE)
    found = [(c + s).splitlines() for c, s in blocks if not name or f"\n{name} =" in f"\n{s}"]
    return found[0] if found else []


# The shipped file


def test_the_shipped_configuration_is_sound_in_every_environment() -> None:
    names = [None, *(path.stem for path in (CONF / "env").glob("*.toml"))]

    assert [config.load(CONF, name).folder for name in names] == [CONF] * len(names)


def test_metrics_have_fixed_ports_in_production_and_any_elsewhere() -> None:
    ports = {name: config.load(CONF, name).metrics.port for name in (None, "prod")}

    assert (ports[None]("bronze"), ports[None]("silver")) == (0, 0)
    assert (ports["prod"]("bronze"), ports["prod"]("silver")) == (9464, 9465)


@pytest.mark.parametrize("path", WITH_DEFAULT, ids=dotted)
def test_each_setting_in_the_file_is_the_default(path: tuple[str, ...]) -> None:
    section, name = path
    written = tomllib.loads(FILE.read_text())[section][name]
    model = models.Config.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, models.Settings)
    without = {field: "any" for field, info in model.model_fields.items() if info.is_required()}

    assert model.model_validate({**without, name: written}) == model.model_validate(without)


@pytest.mark.parametrize("path", IN_THE_FILE, ids=dotted)
def test_each_setting_is_in_the_file_with_a_comment(path: tuple[str, ...]) -> None:
    lines = block(path)

    assert lines, "it is not in the file"
    assert lines[0].startswith("# ")


@pytest.mark.parametrize("path", sorted(SECRETS), ids=dotted)
def test_each_secret_is_named_in_the_file_by_its_variable(path: tuple[str, str]) -> None:
    assert path in EVERY
    assert f"LAKEHOUSE__{'__'.join(path)}".upper() in FILE.read_text()


def test_every_secret_of_the_model_is_known_here_and_refused_in_files() -> None:
    sections = {name: f.annotation for name, f in models.Config.model_fields.items()}
    found = {
        (section, name)
        for section, model in sections.items()
        if isinstance(model, type) and issubclass(model, models.Settings)
        for name, field in model.model_fields.items()
        if "Secret" in str(field.annotation)
    }

    assert found == SECRETS
    assert all(config.SECRET.search(dotted(path)) for path in SECRETS)


# Layers


def test_an_environment_file_stands_over_the_base_file(folder: Path) -> None:
    (folder / "env" / "here.toml").write_text('[kafka]\nbootstrap = "env:9092"\n')

    assert config.load(folder).kafka.bootstrap == "base:9092"
    assert config.load(folder, "here").kafka.bootstrap == "env:9092"


def test_an_environment_file_leaves_the_other_settings_of_a_section(folder: Path) -> None:
    (folder / "env" / "here.toml").write_text("[kafka]\nonce_wait_seconds = 1.0\n")

    kafka = config.load(folder, "here").kafka

    assert (kafka.bootstrap, kafka.once_wait_seconds) == ("base:9092", 1.0)


def test_a_variable_with_two_underscores_stands_over_both_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "env" / "here.toml").write_text('[kafka]\nbootstrap = "env:9092"\n')
    monkeypatch.setenv("LAKEHOUSE__KAFKA__BOOTSTRAP", "variable:9092")
    monkeypatch.setenv("LAKEHOUSE__KAFKA__MAX_OFFSETS_PER_TRIGGER", "7")

    kafka = config.load(folder, "here").kafka

    assert (kafka.bootstrap, kafka.max_offsets_per_trigger) == ("variable:9092", 7)


def test_a_variable_with_one_underscore_is_no_setting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE_KAFKA_BOOTSTRAP", "variable:9092")

    assert config.load(folder).kafka.bootstrap == "base:9092"


def test_options_with_dots_pass_through_from_every_layer(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lakehouse.toml").write_text(
        f'{BASE}[kafka.options]\n"client.id" = "a"\n"client.rack" = "b"\n'
        '[spark.options]\n"spark.ui.port" = "4041"\n'
    )
    (folder / "env" / "here.toml").write_text('[kafka.options]\n"client.rack" = "c"\n')
    monkeypatch.setenv("LAKEHOUSE__KAFKA__OPTIONS__CLIENT.DNS.LOOKUP", "use_all_dns_ips")

    found = config.load(folder, "here")

    assert found.kafka.options == {
        "client.id": "a",
        "client.rack": "c",
        "client.dns.lookup": "use_all_dns_ips",
    }
    assert found.spark.options == {"spark.ui.port": "4041"}


def test_settings_cannot_be_changed_once_read(folder: Path) -> None:
    found = config.load(folder)

    with pytest.raises(ValueError, match="frozen"):
        found.kafka.bootstrap = "other:9092"  # type: ignore[misc]  # that is the point


# Unknown keys


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("[streams]\ntriger = '1 second'", "streams.triger", "streams.trigger"),
        ("[kafak]\nbootstrap = 'a:1'", "kafak.bootstrap", "kafka.bootstrap"),
        ("[strems]", "strems", "streams"),
        ("[kafka.option]", "kafka.option", "kafka.options"),
        ("[log.level]\nof = 'info'", "log.level.of", "log.level"),
    ],
)
@pytest.mark.parametrize("kind", ["base", "env"])
def test_an_unknown_key_is_named_with_the_nearest_and_its_file(
    folder: Path, kind: str, text: str, key: str, nearest: str
) -> None:
    file = folder / ("lakehouse.toml" if kind == "base" else "env/here.toml")
    file.write_text(text)

    error = refused(folder, "here" if kind == "env" else None)

    assert (error.code, error.params["file"]) == ("UNKNOWN_KEY", str(file))
    assert (error.params["key"], error.params["nearest"]) == (key, f"did you mean '{nearest}'?")


@pytest.mark.parametrize(
    ("variable", "key", "nearest"),
    [
        ("LAKEHOUSE__KAFKA__BOOTSTRAPS", "kafka.bootstraps", "kafka.bootstrap"),
        ("LAKEHOUSE__KAFKA_BOOTSTRAP", "kafka_bootstrap", "kafka.bootstrap"),
        ("LAKEHOUSE__LAK__ROOT", "lak.root", "lake.root"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, key: str, nearest: str
) -> None:
    monkeypatch.setenv(variable, "x")

    error = refused(folder)

    assert (error.code, error.params["key"]) == ("UNKNOWN_KEY", key)
    assert variable in str(error.params["file"])
    assert error.params["nearest"] == f"did you mean '{nearest}'?"


def test_a_key_like_no_other_is_answered_with_the_sections(folder: Path) -> None:
    (folder / "lakehouse.toml").write_text(f"qqqqqq = 1\n{BASE}")

    nearest = str(refused(folder).params["nearest"])

    assert all(section in nearest for section in ("lake", "kafka", "streams"))
    assert "folder" not in nearest


def test_the_folder_is_no_setting(folder: Path) -> None:
    (folder / "lakehouse.toml").write_text(f'folder = "x"\n{BASE}')

    assert refused(folder).code == "UNKNOWN_KEY"


# Wrong values


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[kafka]\nmax_offsets_per_trigger = 'many'", "kafka.max_offsets_per_trigger"),
        ("[kafka]\nmax_offsets_per_trigger = 0", "kafka.max_offsets_per_trigger"),
        ("[kafka]\nstarting_offsets = 'newest'", "kafka.starting_offsets"),
        ("[streams]\nmax_bytes_per_trigger = '1 GB'", "streams.max_bytes_per_trigger"),
        ("[spark]\ndriver_memory = '2'", "spark.driver_memory"),
        ("[log]\nlevel = 'loud'", "log.level"),
        ("[lake]\nroot = ''", "lake.root"),
        ("[metrics]\nbronze_port = 65536", "metrics.bronze_port"),
        ("[metrics]\nsilver_port = -1", "metrics.silver_port"),
        ("[kafka.options]\n'linger.ms' = 5", "kafka.options.linger.ms"),
        ("[kafka.options]\nclient.id = 'unquoted'", "kafka.options.client"),
        ("log = 'json'", "log"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_its_file_and_a_reason(
    folder: Path, text: str, key: str
) -> None:
    file = folder / "env" / "here.toml"
    file.write_text(text)

    error = refused(folder, "here")

    assert (error.code, error.params["key"]) == ("BAD_VALUE", key)
    assert error.params["file"] == str(file)
    assert error.params["reason"]


def test_a_wrong_value_in_a_variable_names_the_variable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE__SPARK__SHUFFLE_PARTITIONS", "some")

    error = refused(folder)

    assert (error.code, error.params["value"]) == ("BAD_VALUE", "'some'")
    assert "LAKEHOUSE__SPARK__SHUFFLE_PARTITIONS" in str(error.params["file"])


def test_a_wrong_value_in_the_base_file_names_that_file(folder: Path) -> None:
    (folder / "lakehouse.toml").write_text(f"{BASE}[log]\nformat = 'xml'\n")
    (folder / "env" / "here.toml").write_text('[log]\nlevel = "info"\n')

    error = refused(folder, "here")

    assert error.params["file"] == str(folder / "lakehouse.toml")


def test_a_setting_without_default_is_missed_by_name(folder: Path) -> None:
    (folder / "lakehouse.toml").write_text('[lake]\nroot = "lake"\n[kafka]\n')

    error = refused(folder)

    assert (error.code, error.params["key"]) == ("BAD_VALUE", "kafka.bootstrap")


# Times between micro-batches


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("10s", "10 seconds"),
        ("500ms", "500 milliseconds"),
        ("5 m", "5 minutes"),
        ("2 seconds", "2 seconds"),
        ("1 minute", "1 minute"),
    ],
)
def test_a_time_may_be_written_short_or_in_words(folder: Path, written: str, meant: str) -> None:
    found = config.with_trigger(config.load(folder), written)

    assert found.streams.trigger == meant


@pytest.mark.parametrize("written", ["", "soon", "10", "s", "-1s", "1.5 seconds", "10s 5s", "10S"])
def test_a_time_that_is_none_is_refused(folder: Path, written: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.with_trigger(config.load(folder), written)

    assert caught.value.code == "BAD_VALUE"
    assert caught.value.params["file"] == "--trigger"
    assert caught.value.params["value"] == repr(written)


def test_another_time_leaves_every_other_setting(folder: Path) -> None:
    before = config.load(folder)

    after = config.with_trigger(before, "1s")

    assert config.with_trigger(after, before.streams.trigger) == before


# Where things lie


@pytest.mark.parametrize("root", ["s3a://bucket/lake", "abfss://a@b/lake", "hdfs://name/lake"])
def test_a_root_elsewhere_needs_a_state_folder_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", root)

    error = refused(folder)

    assert error.code == "BAD_VALUE"
    assert "state.dir" in str(error.params["reason"])
    monkeypatch.setenv("LAKEHOUSE__STATE__DIR", str(folder / "state"))
    assert config.load(folder).state_dir == folder / "state"


@pytest.mark.parametrize("root", ["/data/lake", "file:///data/lake", "file:/data/lake"])
def test_the_state_of_a_lake_on_this_machine_lies_in_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", root)

    assert config.load(folder).state_dir == Path("/data/lake/_state")


# Secrets


@pytest.mark.parametrize(
    ("table", "key", "variable"),
    [
        ("kafka", "sasl_password", "LAKEHOUSE__KAFKA__SASL_PASSWORD"),
        ("kafka", "sasl_username", "LAKEHOUSE__KAFKA__SASL_USERNAME"),
        ("kafka.options", "ssl.key.password", "LAKEHOUSE__KAFKA__SSL_KEY_PASSWORD"),
        ("kafka.options", "ssl.truststore.password", "LAKEHOUSE__KAFKA__SSL_TRUSTSTORE_PASSWORD"),
        ("kafka.options", "ssl.keystore.key", "LAKEHOUSE__KAFKA__SSL_KEYSTORE_PASSWORD"),
        ("kafka.options", "sasl.jaas.config", "LAKEHOUSE__KAFKA__SASL_PASSWORD"),
        ("alarms", "urls", "LAKEHOUSE__ALARMS__URLS"),
        ("alarms", "token", "LAKEHOUSE__ALARMS__URLS"),
        ("spark.options", "spark.x.secret", "LAKEHOUSE__SPARK__OPTIONS__SPARK.X.SECRET"),
    ],
)
def test_a_secret_in_a_file_is_refused_for_a_variable_that_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch, table: str, key: str, variable: str
) -> None:
    file = folder / "env" / "here.toml"
    file.write_text(f'[{table}]\n"{key}" = "{CANARY}"\n')

    error = refused(folder, "here")

    assert error.code == "SECRET_IN_FILE"
    assert error.params == {"file": str(file), "key": f"{table}.{key}", "variable": variable}
    assert CANARY not in "".join(traceback.format_exception(error))
    file.write_text("")
    monkeypatch.setenv(variable, CANARY)
    config.load(folder, "here")


def test_a_secret_among_the_kafka_options_of_a_variable_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE__KAFKA__OPTIONS__SSL.KEY.PASSWORD", CANARY)

    error = refused(folder)

    assert error.code == "SECRET_IN_FILE"
    assert error.params["variable"] == "LAKEHOUSE__KAFKA__SSL_KEY_PASSWORD"


def test_secrets_never_show_in_the_configuration(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in SECRETS:
        monkeypatch.setenv(f"LAKEHOUSE__{'__'.join(path)}".upper(), CANARY)

    found = config.load(folder)

    secret = found.kafka.sasl_password
    assert secret is not None
    assert secret.get_secret_value() == CANARY
    shown: list[Any] = [repr(found), str(found), found.model_dump(), found.model_dump_json()]
    assert CANARY not in " ".join(map(str, shown))


def test_a_value_in_place_of_a_section_is_refused_without_being_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE__ALARMS", f"json://host/{CANARY}")  # the name of one level only

    error = refused(folder)

    assert (error.code, error.params["key"]) == ("BAD_VALUE", "alarms")
    assert CANARY not in "".join(traceback.format_exception(error))


def test_secrets_never_show_in_the_trace_of_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lakehouse.toml").write_text('[lake]\nroot = "lake"')
    monkeypatch.setenv("LAKEHOUSE__KAFKA__SASL_PASSWORD", CANARY)  # and no bootstrap beside it

    trace = "".join(traceback.format_exception(refused(folder)))

    assert "ValidationError" in trace
    assert CANARY not in trace


# Files


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = refused(tmp_path)

    assert (error.code, error.params["file"]) == ("FILE_MISSING", tmp_path / "lakehouse.toml")


def test_a_missing_environment_is_named(folder: Path) -> None:
    error = refused(folder, "nowhere")

    assert (error.code, error.params["file"]) == ("FILE_MISSING", folder / "env" / "nowhere.toml")


@pytest.mark.parametrize("content", [b"[lake\n", b"root = \xff", b"a = 1\na = 2"])
def test_a_file_that_is_not_toml_is_named_with_a_reason(folder: Path, content: bytes) -> None:
    (folder / "lakehouse.toml").write_bytes(content)

    error = refused(folder)

    assert error.code == "FILE_UNREADABLE"
    assert error.params["file"] in {folder / "lakehouse.toml", str(folder / "lakehouse.toml")}
    assert error.params["reason"]


def test_a_folder_in_place_of_the_file_is_unreadable(folder: Path) -> None:
    (folder / "lakehouse.toml").unlink()
    (folder / "lakehouse.toml").mkdir()

    assert refused(folder).code == "FILE_UNREADABLE"


def test_the_shipped_folder_works_wherever_it_is_copied(tmp_path: Path) -> None:
    shutil.copytree(CONF, tmp_path / "conf")

    assert config.load(tmp_path / "conf").model_dump() == config.load(CONF).model_dump()
