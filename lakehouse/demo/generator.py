"""Esports messages without end: matches that are played, players who rise and fall, and faults.

The same seed gives the same bytes on every machine, so a demo can be told in advance.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from lakehouse.demo import faults
from lakehouse.demo.faults import FIELDS, Record, encode

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from random import Random

# The simulated clock starts here. Fixed: with the wall clock no two runs would give the same bytes.
START_MS = int(datetime(2026, 1, 31, 10, tzinfo=UTC).timestamp()) * 1000
# 12 matches and a message every 5 to 15 s: a match is heard of every three minutes, so it takes a
# dozen updates, and a demo of a few hundred messages sees matches from beginning to end.
# A step is never under a second: times in text have no finer unit, and updates may not tie.
IN_FLIGHT = 12
STEP_MS = (5_000, 15_000)
# So that such a demo also updates each player more than once.
PLAYERS = 60
MATCH_SHARE, TRANSFER_SHARE = 0.7, 0.08
# A site publishes a profile some minutes after the game.
PROFILE_DELAY_MS = 300_000
# The least that a player reaches on average: kills, deaths, assists, creeps and gold a minute.
AVERAGES = (2.0, 1.5, 4.0, 5.0, 280.0)
HEADERS = (("source", b"demo"),)

PLACES = ("Nørdlys", "Łódź", "서울", "Harbour", "Açaí", "銀河", "Saint Bernard's")
BEASTS = ("Owls", "Lynx", "Kraken", "Foxes")
TEAMS = tuple(f"{place} {beast}" for place in PLACES for beast in BEASTS)
TOURNAMENTS = ("Winter Crown", "Baltic Open", "Copa del Sol", "Pacific Masters")
PATCHES = ("26.1", "26.2", "26.3")
SOURCES = ("official-feed", "partner-api", "scraper")
ROLES = ("Top", "Jungle", "Mid", "ADC", "Support")
FIRST_NAMES = ("Søren", "Camille", "민준", "Zofia", "Thiago", "Maya", "伟", "Jordan")
LAST_NAMES = ("Lindqvist", "Lefèvre", "김", "Wójcik", "Conceição", "O'Connor", "陈", "Miller")
NATIONS = ("DK", "FR", "KR", "PL", "BR", "IE", "CN", "US")
NICKS = ("Vexar", "Kurokaze", "Ñandú", "Pixel Pete", "Überflux", "Nightjar", "Tofu", "Quill")


class Message(NamedTuple):
    """One Kafka message, and the reason code that it will get, or None where it is sound."""

    entity: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    fault: str | None


def messages(count: int, *, bad_rate: float, seed: int) -> Iterator[Message]:
    """Exactly *count* messages come, lazily, each one bad with the probability *bad_rate*.

    The same arguments give the same messages. A bad message takes the place of an update, as it
    would in life: what that update said is lost until the next one of its key.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation, nothing secret
    kinds = {entity: faults.deal(rng) for entity in FIELDS}
    for entity, record in itertools.islice(faults.delivered(rng, _updates(rng)), count):
        fields = FIELDS[entity]
        key: bytes | None = str(record[fields.key]).encode()
        if rng.random() >= bad_rate:
            yield Message(entity, key, encode(record).encode(), HEADERS, None)
            continue
        kind = next(kinds[entity])
        # A producer takes the Kafka key from the record: what the one lacks the other lacks.
        key = None if kind.code == "key_missing" else key
        yield Message(entity, key, kind.spoil(rng, record, fields), HEADERS, kind.code)


def _updates(rng: Random) -> Iterator[tuple[str, Record]]:
    """Updates in the order in which they happened."""
    clock = Clock(START_MS)
    actors = {
        "matches": [_stage(rng, clock, number) for number in range(IN_FLIGHT)],
        "players": [_career(rng, clock, number) for number in range(PLAYERS)],
    }
    while True:
        clock.now_ms += rng.randrange(*STEP_MS)
        entity = "matches" if rng.random() < MATCH_SHARE else "players"
        yield entity, next(rng.choice(actors[entity]))


@dataclass
class Clock:
    """The simulated time, which only `_updates` moves."""

    now_ms: int


def _time(epoch_ms: int) -> str:
    return f"{datetime.fromtimestamp(epoch_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class Side:
    """A team in a game, and what it has reached; the names are those of the fields."""

    id: str
    name: str
    kills: int = 0
    gold: int = 2_500
    towers: int = 0

    def play(self, rng: Random, seconds: int) -> None:
        """The side is stronger by about what a side gains in that many seconds."""
        self.kills += rng.randrange(1 + seconds // 60)
        self.gold += seconds * rng.randrange(22, 36)
        self.towers = min(10, self.towers + (rng.random() * 300 < seconds))


def _stage(rng: Random, clock: Clock, stage: int) -> Iterator[Record]:
    """One series after another on a stage: the next game comes when the last one is finished."""
    for series in itertools.count(1):
        tournament, patch = rng.choice(TOURNAMENTS), rng.choice(PATCHES)
        teams = rng.sample(range(len(TEAMS)), 2)
        needed, wins = rng.choice((1, 2, 2, 3)), [0, 0]
        while max(wins) < needed:
            number = sum(wins) + 1
            game = f"{stage:02d}{series:04d}{number}"
            fixture: Record = {
                "match_id": f"{tournament[:3].lower()}-{game}",
                "game_id": game,
                "platform_game_id": f"ESPORTS_{game}",
                "tournament_id": tournament.lower().replace(" ", "-"),
                "tournament_name": tournament,
                "game_version": f"{patch}.741.1077",
                "patch": patch,
                "match_type": "regular" if needed == 1 else "best_of",
                "game_number": number,
                "data_source": rng.choice(SOURCES),
            }
            sides = [Side(f"T{team:02d}", TEAMS[team]) for team in teams]
            wins[(yield from _game(rng, clock, fixture, sides))] += 1


def _game(
    rng: Random, clock: Clock, fixture: Record, sides: list[Side]
) -> Generator[Record, None, int]:
    """Scheduled, live, finished; the winning side, 0 or 1, is returned."""
    yield _report(fixture, sides, clock)
    started_ms = last_ms = clock.now_ms
    length_ms = rng.randrange(1_400_000, 2_600_000)
    yield _report(fixture, sides, clock, started_ms)
    while clock.now_ms < started_ms + length_ms:
        for side in sides:
            side.play(rng, (clock.now_ms - last_ms) // 1000)
        last_ms = clock.now_ms
        yield _report(fixture, sides, clock, started_ms)
    winner = int(sides[1].gold > sides[0].gold)
    # Nobody wins without a way through: three towers of one lane and the last two.
    sides[winner].towers = max(sides[winner].towers + 1, 5)
    yield _report(fixture, sides, clock, started_ms, sides[winner])
    return winner


def _report(
    fixture: Record,
    sides: list[Side],
    clock: Clock,
    started_ms: int | None = None,
    winner: Side | None = None,
) -> Record:
    """The whole state of a game: no reader needs an earlier message."""
    # From whole seconds, as the two times are written: their difference is the duration.
    seconds = 0 if started_ms is None else clock.now_ms // 1000 - started_ms // 1000
    record = fixture | {
        "status": "finished" if winner else "scheduled" if started_ms is None else "live",
        "winner_id": winner and winner.id,
        "winner_name": winner and winner.name,
        "match_duration": seconds,
        "started_at": started_ms and _time(started_ms),
        "finished_at": winner and _time(clock.now_ms),
        "ingestion_timestamp": clock.now_ms,
    }
    for number, side in enumerate(sides, 1):
        record |= {f"team_{number}_{name}": value for name, value in vars(side).items()}
    return record


def _career(rng: Random, clock: Clock, number: int) -> Iterator[Record]:
    """One player's profile, after each game and after each change of team."""
    identity = _identity(number)
    # Every result, oldest first: won, lost, or `R`, a remake, which counts as neither.
    results = "".join(rng.choices("WLR", (49, 49, 2), k=rng.choice((0, 0, 80, 200, 490))))
    means = [rng.uniform(low, 2 * low) if results else 0.0 for low in AVERAGES]
    team, last_ms = rng.randrange(len(TEAMS)), START_MS - 86_400_000 if results else None
    while True:
        if rng.random() < TRANSFER_SHARE:
            team = rng.randrange(len(TEAMS))
        else:
            results += rng.choices("WLR", (49, 49, 2))[0]
            last_ms = clock.now_ms - PROFILE_DELAY_MS
            for n, low in enumerate(AVERAGES):
                means[n] += (rng.uniform(low, 2 * low) - means[n]) / len(results)
        yield {
            **identity,
            "current_team_id": f"T{team:02d}",
            "current_team_name": TEAMS[team],
            **_standing(results, means),
            "last_match_date": None if last_ms is None else _time(last_ms),
            "profile_updated_at": _time(clock.now_ms),
            "ingestion_timestamp": clock.now_ms + 250,
        }


def _standing(results: str, means: list[float]) -> Record:
    wins, losses = results.count("W"), results.count("L")
    kills, deaths, assists, creeps, gold = (round(mean, 2) for mean in means)
    return {
        "total_games": len(results),
        "total_wins": wins,
        "total_losses": losses,
        "win_rate": round(wins / len(results), 4) if results else 0.0,
        "avg_kills": kills,
        "avg_deaths": deaths,
        "avg_assists": assists,
        # No deaths count as one, as everywhere in the sport.
        "kda_ratio": round((kills + assists) / (deaths or 1.0), 2),
        "avg_cs_per_min": creeps,
        "avg_gold_per_min": gold,
        "recent_form": results.replace("R", "")[-5:],
    }


def _identity(number: int) -> Record:
    person, nick = number % len(FIRST_NAMES), NICKS[number * 3 % len(NICKS)]
    return {
        "player_id": f"player-{number:04d}",
        "summoner_name": f"{nick} {number}",
        "game_name": nick,
        "tag_line": f"{NATIONS[person]}{number}",
        "first_name": FIRST_NAMES[person],
        "last_name": LAST_NAMES[number * 5 % len(LAST_NAMES)],
        "nickname": nick,
        "nationality": NATIONS[person],
        "role": ROLES[number % len(ROLES)],
        "active": number % 11 != 0,
        "professional": number % 7 != 0,
        "data_source": SOURCES[number % len(SOURCES)],
    }
