"""An entity is a folder: every shipped one is sound, and whatever is wrong in one is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lakehouse import entities
from lakehouse.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf"
SHIPPED = sorted(path for path in (CONF / "entities").iterdir() if path.is_dir())
TOML = 'topic = "t"\nkeys = ["id"]\n'
NO_OTHER = "it knows deletion_vectors, derived, keys, limits, partition_by, sequence_by, topic"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a small entity, in a configuration of its own."""
    made = tmp_path / "entities" / "things"
    made.mkdir(parents=True)
    (made / "entity.toml").write_text(TOML)
    (made / "schema.ddl").write_text("id STRING NOT NULL")
    return made


def refused(folder: Path) -> ConfigError:
    """Return the error with which the entity in *folder* is refused."""
    with pytest.raises(ConfigError) as caught:
        entities.load(folder)
    return caught.value


def named(path: Path) -> str:
    return path.name


# Every shipped entity


@pytest.mark.parametrize("shipped", SHIPPED, ids=named)
def test_each_shipped_entity_says_what_it_needs_to(shipped: Path) -> None:
    entity = entities.load(shipped)

    assert entity.name == shipped.name
    assert entity.topic
    assert entity.keys
    assert all(f"{key} " in entity.ddl for key in entity.keys)


@pytest.mark.parametrize("shipped", SHIPPED, ids=named)
def test_an_entity_has_the_same_fingerprint_wherever_it_lies(shipped: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shipped, tmp_path / shipped.name))

    assert entities.load(copy).fingerprint == entities.load(shipped).fingerprint
    assert len(entities.load(copy).fingerprint) == 16


@pytest.mark.parametrize("shipped", SHIPPED, ids=named)
@pytest.mark.parametrize("file", entities.FILES)
def test_the_content_of_each_file_is_in_the_fingerprint(
    shipped: Path, file: str, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(shipped, tmp_path / shipped.name))
    with (copy / file).open("a") as more:
        more.write("\n")

    assert entities.load(copy).fingerprint != entities.load(shipped).fingerprint


def test_each_folder_is_an_entity_and_each_has_a_fingerprint_of_its_own() -> None:
    found = entities.load_all(CONF)

    assert [entity.name for entity in found] == [path.name for path in SHIPPED]
    assert len({entity.fingerprint for entity in found}) == len(found)


# The fingerprint


def test_the_version_of_the_parser_is_in_the_fingerprint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = entities.load(folder).fingerprint
    monkeypatch.setattr(entities, "PARSER_VERSION", entities.PARSER_VERSION + 1)

    assert entities.load(folder).fingerprint != before


def test_the_same_content_and_parser_have_the_same_fingerprint_for_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rules are archived under it: should this change, no batch could be judged again.
    monkeypatch.setattr(entities, "PARSER_VERSION", 1)

    assert entities.load(folder).fingerprint == "2da8be5846884c95"


def test_archived_contents_make_the_same_entity(folder: Path) -> None:
    entity = entities.load(folder)

    again = entities.from_contents(entity.name, entity.contents, "elsewhere")

    assert again.fingerprint == entity.fingerprint
    assert again.model_dump() == entity.model_dump()


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("", True),
        ("[derived]\nb = 'id'", True),
        ("[limits]\nmax_value_bytes = 5", True),
        ("sequence_by = 'id'", False),
        ("partition_by = ['id']", False),
    ],
)
def test_the_identity_is_what_must_not_change_under_a_table(
    folder: Path, line: str, *, same: bool
) -> None:
    before = entities.load(folder).identity
    (folder / "entity.toml").write_text(f"{TOML}{line}\n")

    assert (entities.load(folder).identity == before) is same


# What is refused


def test_a_misspelt_key_is_named_before_the_one_that_it_leaves_missing(folder: Path) -> None:
    (folder / "entity.toml").write_text('topics = "t"\nkeys = ["id"]\n')

    error = refused(folder)

    assert (error.code, error.params["key"]) == ("UNKNOWN_KEY", "topics")
    assert error.params["nearest"] == "did you mean 'topic'?"


@pytest.mark.parametrize(
    ("line", "key", "nearest"),
    [
        ("sequenceby = 'x'", "sequenceby", "did you mean 'sequence_by'?"),
        ("name_of_table = 'x'", "name_of_table", NO_OTHER),
        ("[limit]\nmax_value_bytes = 1", "limit", "did you mean 'limits'?"),
        ("[limits]\nmax_bytes = 1", "limits.max_bytes", "did you mean 'limits.max_value_bytes'?"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(
    folder: Path, line: str, key: str, nearest: str
) -> None:
    (folder / "entity.toml").write_text(TOML + line)

    error = refused(folder)

    assert error.code == "UNKNOWN_KEY"
    assert error.params == {"file": f"{folder}/entity.toml", "key": key, "nearest": nearest}


@pytest.mark.parametrize("key", sorted(entities.Entity.internal))
def test_what_the_product_fills_in_is_an_unknown_key(folder: Path, key: str) -> None:
    (folder / "entity.toml").write_text(f'{key} = "x"\n{TOML}')

    error = refused(folder)

    assert (error.code, error.params["key"]) == ("UNKNOWN_KEY", key)
    assert f"'{key}'" not in str(error.params["nearest"])


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('topic = "t"\nkeys = "id"', "keys", "'id'"),
        (f'{TOML}partition_by = "id"', "partition_by", "'id'"),
        ('topic = "t"\nkeys = []', "keys", "[]"),
        ('topic = "a topic"\nkeys = ["id"]', "topic", "'a topic'"),
        ('topic = ""\nkeys = ["id"]', "topic", "''"),
        (f'topic = "{"t" * 250}"\nkeys = ["id"]', "topic", repr("t" * 250)),
        (f"{TOML}[derived]\nlength = 5", "derived.length", "5"),
        (f"{TOML}[limits]\nmax_value_bytes = 0", "limits.max_value_bytes", "0"),
        (f"{TOML}[limits]\nmax_value_bytes = 20000001", "limits.max_value_bytes", "20000001"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_a_reason(
    folder: Path, text: str, key: str, value: str
) -> None:
    (folder / "entity.toml").write_text(text)

    error = refused(folder)

    assert (error.code, error.params["key"], error.params["value"]) == ("BAD_VALUE", key, value)
    assert error.params["file"] == f"{folder}/entity.toml"
    assert error.params["reason"]


@pytest.mark.parametrize(("text", "key"), [("keys = ['id']", "topic"), ("topic = 't'", "keys")])
def test_a_topic_and_keys_are_needed(folder: Path, text: str, key: str) -> None:
    (folder / "entity.toml").write_text(text)

    error = refused(folder)

    assert (error.code, error.params["key"]) == ("BAD_VALUE", key)


@pytest.mark.parametrize(
    "name", ["Things", "1things", "my-things", "my things", "t" * 65, "matches_decisions"]
)
def test_a_folder_that_cannot_name_a_table_is_refused(folder: Path, name: str) -> None:
    error = refused(folder.rename(folder.with_name(name)))

    assert (error.code, error.params["key"]) == ("BAD_VALUE", "name")


@pytest.mark.parametrize("file", entities.FILES)
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()

    error = refused(folder)

    assert (error.code, error.params["file"]) == ("FILE_MISSING", folder / file)


@pytest.mark.parametrize(
    ("file", "content"), [("entity.toml", b"topic ="), ("schema.ddl", b"id STRING \xff")]
)
def test_a_file_that_cannot_be_read_is_named(folder: Path, file: str, content: bytes) -> None:
    (folder / file).write_bytes(content)

    error = refused(folder)

    assert (error.code, str(error.params["file"])) == ("FILE_UNREADABLE", str(folder / file))


# Which entities


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        entities.load_all(CONF, ["matches", "matchs"])

    assert (caught.value.code, caught.value.params["name"]) == ("UNKNOWN_ENTITY", "matchs")
    assert caught.value.params["known"] == ", ".join(path.name for path in SHIPPED)


def test_named_entities_come_once_and_in_the_order_of_their_names_as_given() -> None:
    found = entities.load_all(CONF, ["players", "matches", "players"])

    assert [entity.name for entity in found] == ["players", "matches"]


def test_a_broken_entity_does_not_hinder_another_that_is_named(folder: Path) -> None:
    (folder.parent / "broken").mkdir()

    assert [e.name for e in entities.load_all(folder.parents[1], ["things"])] == ["things"]


@pytest.mark.parametrize("make", [False, True])
def test_a_configuration_without_entities_is_refused(tmp_path: Path, *, make: bool) -> None:
    if make:
        (tmp_path / "entities").mkdir()

    with pytest.raises(ConfigError) as caught:
        entities.load_all(tmp_path)

    assert caught.value.code == "FILE_MISSING"
    assert caught.value.params["file"] == tmp_path / "entities"
