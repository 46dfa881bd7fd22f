"""What benchmarks stand on: the load, the ratios of medians, what is taken away, the pictures."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from benchmarks import ablations, plots, starts
from benchmarks.messages import Load, is_cut, is_mistyped, values
from benchmarks.rounds import Series, interleaved, ratio
from lakehouse import kafka
from lakehouse.session import DEFAULTS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("size", [200, 800, 4_000, 64_000])
def test_messages_are_of_about_the_size_that_was_asked_for(size: int) -> None:
    sound = [v for n, v in enumerate(values(Load(100, size))) if not is_cut(n)]
    mean = sum(map(len, sound)) / len(sound)
    assert 0.9 * size < mean < 1.1 * size


def test_the_load_has_the_faults_that_it_tells_of() -> None:
    load, bad, keys = Load(2_000, start=1_000), 0, set()
    for number, value in enumerate(values(load), load.start):
        try:
            record = json.loads(value)
        except ValueError:
            assert is_cut(number)
            bad += 1
            continue
        keys.add(record["match_id"])
        assert isinstance(record["match_duration"], str) is is_mistyped(number)
        bad += is_mistyped(number)
    assert bad == load.bad == 30
    repeated = load.count - 20 - len(keys)
    assert 50 <= repeated <= 100  # one in twenty, and what they repeat may be cut or of before


def test_contestants_take_turns_and_the_warm_up_does_not_count() -> None:
    called: list[tuple[str, int]] = []

    def run(name: str, seconds: float) -> float:
        called.append((name, round(seconds)))
        return seconds

    found = interleaved(
        {"a": lambda n: run("a", n), "b": lambda n: run("b", 10 * n)}, warm=1, repeats=2
    )
    assert called == [("a", 0), ("b", 0), ("a", 1), ("b", 10), ("a", 2), ("b", 20)]
    assert (found["a"].figures, found["b"].figures) == ((1, 2), (10, 20))


def test_a_ratio_is_of_medians_with_the_least_and_the_most_by_round() -> None:
    found = ratio([4.0, 6.0, 20.0], [2.0, 2.0, 4.0])
    assert (found.value, found.min, found.max, found.repeats) == (3.0, 2.0, 5.0, 3)


def test_pictures_show_every_ratio_that_has_an_aim_and_every_contestant(tmp_path: Path) -> None:
    found = {name: {"value": 1.0, "min": 0.9, "max": 1.2} for name in plots.AIMS}
    found["dq_raw_gx_over_ours"]["min"] = -4.8  # of two differences, each within its spread
    plots.ratios({**found, "another": found["bronze_vs_k1"]}, tmp_path / "ratios.svg")
    drawn = (tmp_path / "ratios.svg").read_text()
    assert all(name in drawn for name in plots.AIMS)
    assert "another" not in drawn
    series = {
        "drain": [Series("ours", (1.0, 2.0, 3.0))],
        "peaks": [Series("theirs", (5.0,), "MiB")],
    }
    plots.scenarios(series, tmp_path / "scenarios.svg")
    drawn = (tmp_path / "scenarios.svg").read_text()
    assert all(text in drawn for text in ("drain", "ours", "peaks", "theirs", "MiB"))


def test_each_ablation_takes_away_what_the_product_has() -> None:
    whole, *others = ablations.JVMS
    assert (whole.options, whole.patched) == ({}, {})
    for one in others:
        assert one.options or one.patched
        assert all(DEFAULTS[name] != value for name, value in one.options.items())
        for name, value in one.patched.items():
            module, _, attribute = name.rpartition(".")
            assert getattr(import_module(module), attribute) != value
    for name, _ in starts.WITHOUT.values():
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute)
    assert "fetch.max.wait.ms" in kafka.DEFAULTS
