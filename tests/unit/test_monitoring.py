"""The dashboard, the alerts and the page on monitoring speak of metrics that there are."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from lakehouse import metrics
from lakehouse.health import BatchCounts, Health
from tests.conftest import ROOT
from tests.unit.test_health import BRONZE, SILVER, progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

DASHBOARD = ROOT / "docs" / "monitoring" / "dashboard.json"
ALERTS = ROOT / "docs" / "monitoring" / "alerts.yml"
PAGE = ROOT / "docs" / "how-to" / "monitor.md"

METRIC = re.compile(r"\b(lakehouse_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
# What is summed by labels comes next; labels to match or to show come from any side.
SUMMED = re.compile(r"\bby\s*\(([^)]*)\)[^{]*?\b(lakehouse_\w+)")
MATCHED = re.compile(r"\b(?:on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)")
# Prometheus itself adds these to all that it scrapes.
SCRAPED = {"job", "instance"}
# Labels whose values are a closed set, which the exporter shows whole.
CLOSED = {"layer", "outcome", "state", "why"}


class Said(NamedTuple):
    """An expression, and the labels that the text beside it takes from the result."""

    where: str
    expression: str
    shown: frozenset[str] = frozenset()


def families() -> list[Metric]:
    """Return all that the exporter tells of two streams which have something to tell of each."""
    health = Health(progress_every=100, backlog_after=3)
    health.watch(BRONZE, "esports-matches", lambda _: {"0": 1})
    health.watch(SILVER, "esports-matches", lambda _: {"all": 1})
    health.onQueryProgress(progress(BRONZE))
    health.onQueryProgress(progress(SILVER))
    counts = BatchCounts(1, 1, {"empty": 1}, {("rule", "warn"): 1}, {"older": 1}, {SILVER: 1})
    health.count(SILVER, counts)
    return [f for layer in ("bronze", "silver") for f in metrics.Exporter(health, layer).collect()]


SAMPLES = [sample for family in families() for sample in family.samples]
LABELS = {sample.name: frozenset(sample.labels) for sample in SAMPLES}


def dashboard() -> Iterator[Said]:
    content = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in content["panels"]:
        for target in panel["targets"]:
            shown = frozenset(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            yield Said(f"dashboard: {panel['title']}", target["expr"], shown)
    for variable in content["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.findall(r"label_values\((\w+), (\w+)\)", variable["definition"])[0]
            yield Said(f"dashboard: ${variable['name']}", metric, frozenset({label}))


def alerts() -> Iterator[Said]:
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            shown = re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))
            yield Said(f"alert: {rule['alert']}", rule["expr"], frozenset(shown))


def faults(said: Said) -> list[str]:
    """Say what in an expression the exporter does not know."""
    used = METRIC.findall(said.expression)
    found = [f"no metric {name}" for name, _ in used if name not in LABELS]
    asked = [
        (label, name)
        for labels, name in SUMMED.findall(said.expression)
        for label in labels.split(",")
    ]
    for name, selector in used:
        matchers = MATCHER.findall(selector)
        asked += [(label, name) for label, _, _ in matchers]
        for label, _, value in matchers:
            values = {sample.labels.get(label, "") for sample in SAMPLES if sample.name == name}
            if label in CLOSED and not any(re.fullmatch(value, one) for one in values):
                found.append(f"{name} has no {label} {value}")
    found += [
        f"{name} has no label {label.strip()}"
        for label, name in asked
        if name in LABELS and label.strip() not in LABELS[name]
    ]
    known = SCRAPED.union(*(LABELS.get(name, ()) for name, _ in used))
    matched = {label.strip() for ls in MATCHED.findall(said.expression) for label in ls.split(",")}
    return found + [f"nothing has a label {one}" for one in (matched | said.shown) - known - {""}]


@pytest.mark.parametrize("said", [*dashboard(), *alerts()], ids=lambda said: said.where)
def test_each_expression_asks_for_what_the_exporter_tells(said: Said) -> None:
    assert faults(said) == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("rate(lakehouse_rows[5m])", "no metric lakehouse_rows"),
        ("lakehouse_batch_duration_seconds", "no metric lakehouse_batch_duration_seconds"),
        ('lakehouse_rows_total{kind="x"}', "lakehouse_rows_total has no label kind"),
        ("sum by (part) (lakehouse_rows_total)", "lakehouse_rows_total has no label part"),
        ('lakehouse_stream_state{state="dead"}', "lakehouse_stream_state has no state dead"),
        ("lakehouse_rows_total / on (table) lakehouse_batches_total", "nothing has a label table"),
    ],
)
def test_an_expression_that_asks_for_anything_else_is_found(expression: str, fault: str) -> None:
    assert faults(Said("here", expression)) == [fault]


def test_each_metric_is_on_the_dashboard_but_those_that_another_tells() -> None:
    used = {name for said in dashboard() for name, _ in METRIC.findall(said.expression)}
    parts = {"lakehouse_batch_duration_seconds_sum", "lakehouse_batch_duration_seconds_count"}
    assert set(LABELS) - used == {*parts, "lakehouse_last_batch_timestamp_seconds"}


def test_panels_have_a_source_that_can_be_chosen_and_places_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    sources = [one["datasource"]["uid"] for panel in panels for one in (panel, *panel["targets"])]
    assert set(sources) == {"${datasource}"}
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_each_alert_says_how_bad_it_is_and_what_happened() -> None:
    rules: list[Any] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
    assert {rule["labels"]["severity"] for rule in rules} == {"critical", "warning"}
    assert all(rule["annotations"]["summary"] for rule in rules)
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_the_page_lists_each_metric_with_its_labels_and_its_help() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(lakehouse_\w+)` \| (.*?) \| (.+) \|$", text, re.MULTILINE)
    told: dict[str, tuple[set[str], str]] = {}
    for family in families():
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        told[name] = (told[name][0] | labels if name in told else labels, family.documentation)
    assert {name: (set(re.findall(r"`(\w+)`", ls)), meaning) for name, ls, meaning in rows} == told


def test_the_page_names_each_alert() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"^\| `(Lakehouse\w+)` \|", text, re.MULTILINE)
    assert named == [said.where.removeprefix("alert: ") for said in alerts()]
