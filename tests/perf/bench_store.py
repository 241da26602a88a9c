"""Seconds and bytes of the sample store with a million samples, against the same rows in SQLite and in whole JSON.

``OMP_NUM_THREADS=1 python tests/perf/bench_store.py [--samples N]``. Samples are written in portions as an evaluation
writes them, each on disk before the next; loading is a fresh store in a fresh process that says what is missing of
every group, reading then parses every sample. SQLite keeps a row a sample under the same key (WAL, one commit a
portion). ``whole JSON`` is what loading costs if every line is parsed at once. Seconds are the processor's, so that a
busy machine tells the same.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sdbench.tasks.grading.verdict import Verdict
from sdbench.tasks.outcome import FinishReason
from sdbench.tasks.sampling.store import GroupKey, SampleStore, StoredSample, StoredVerdict

K = 8
PORTION = 1024
TOKENS = 40
KEY = ("settings_digest", "prompt_hash", "model_digest", "task", "problem_id")


def group_of(problem: int) -> GroupKey:
    """The key of one problem's samples."""
    return GroupKey(
        settings_digest="0123456789abcdef",
        prompt_hash="fedcba9876543210",
        model_digest="the-folder's-own",
        task=f"sdbench_task_{problem % 12}",
        problem_id=f"{problem:08d}",
    )


def portions(count: int) -> Iterator[list[StoredSample]]:
    """Samples of about 40 tokens each, of K to a group."""
    generator = random.Random(0)
    rows: list[StoredSample] = []
    for number in range(count):
        problem, index = divmod(number, K)
        group = group_of(problem)
        ids = tuple(generator.randrange(150_000) for _ in range(TOKENS))
        rows.append(
            StoredSample(
                group=group,
                index=index,
                seed=generator.getrandbits(63),
                token_ids=ids,
                text=f"a step of the {index}th way, and so on\n" * 3,
                finish_reason=FinishReason.STOP,
                engine="hf",
            )
        )
        if len(rows) == PORTION:
            yield rows
            rows = []
    if rows:
        yield rows


class SqliteStore:
    """The same in one SQLite file, as plainly as it goes."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        columns = ", ".join(f"{name} TEXT" for name in KEY)
        self.connection.execute(
            f"CREATE TABLE IF NOT EXISTS samples ({columns}, number INTEGER, seed INTEGER, token_ids TEXT, text TEXT,"
            f" finish_reason TEXT, engine TEXT, PRIMARY KEY ({', '.join(KEY)}, number)) WITHOUT ROWID"
        )

    def add(self, samples: Sequence[StoredSample]) -> None:
        """Insert and commit."""
        with self.connection:
            self.connection.executemany(
                f"INSERT INTO samples VALUES ({', '.join('?' * 11)})",
                (
                    (
                        *vars(sample.group).values(),
                        sample.index,
                        sample.seed,
                        json.dumps(sample.token_ids, separators=(",", ":")),
                        sample.text,
                        sample.finish_reason.value,
                        sample.engine,
                    )
                    for sample in samples
                ),
            )

    def missing(self, group: GroupKey, k: int) -> list[int]:
        """The indices below k that are not there."""
        where = " AND ".join(f"{name} = ?" for name in KEY)
        rows = self.connection.execute(f"SELECT number FROM samples WHERE {where}", tuple(vars(group).values()))
        held = {number for (number,) in rows}
        return [index for index in range(k) if index not in held]

    def samples(self, group: GroupKey) -> dict[int, StoredSample]:
        """The samples of a group."""
        where = " AND ".join(f"{name} = ?" for name in KEY)
        rows = self.connection.execute(
            f"SELECT number, seed, token_ids, text, finish_reason, engine FROM samples WHERE {where}",
            tuple(vars(group).values()),
        )
        return {
            index: StoredSample(
                group=group,
                index=index,
                seed=seed,
                token_ids=tuple(json.loads(ids)),
                text=text,
                finish_reason=FinishReason(finish),
                engine=engine,
            )
            for index, seed, ids, text, finish, engine in rows
        }


def timed(action: Callable[[], object]) -> float:
    """Processor seconds that it takes."""
    started = time.process_time()
    action()
    return time.process_time() - started


def open_store(name: str, place: Path) -> SampleStore | SqliteStore:
    """The store of this name in the folder."""
    return SampleStore(place / "lines") if name == "JSON lines" else SqliteStore(place / "samples.db")


def write(name: str, place: Path, count: int) -> dict[str, float]:
    """Write all samples; the making of them does not count."""
    store = open_store(name, place)
    return {"write": sum(timed(lambda rows=rows: store.add(rows)) for rows in portions(count))}  # type: ignore[misc]


def read(name: str, place: Path, count: int) -> dict[str, float]:
    """Load, then read all."""
    groups = [group_of(problem) for problem in range(-(-count // K))]
    store = open_store(name, place)
    return {
        "load": timed(lambda: [store.missing(group, K) for group in groups]),
        "read": timed(lambda: [len(store.samples(group)) for group in groups]),
    }


def read_whole(name: str, place: Path, count: int) -> dict[str, float]:
    """Parse every line."""
    with (place / "lines/samples.jsonl").open("rb") as stream:
        return {"load": timed(lambda: [json.loads(line) for line in stream])}


def verdicts(name: str, place: Path, count: int) -> dict[str, float]:
    """Write a verdict on every sample, then load them."""
    store = SampleStore(place / "lines")
    verdict = Verdict(verdict="correct", rule="integer", extracted="4")
    for rows in portions(count):
        store.add_verdicts([StoredVerdict(group=s.group, index=s.index, grader="G/1", verdict=verdict) for s in rows])
    return {"verdicts": timed(lambda: store.verdicts("G/1"))}


def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    count = parser.parse_args().samples
    work = (
        ("JSON lines", write),
        ("SQLite", write),
        ("JSON lines", read),
        ("SQLite", read),
        ("whole JSON", read_whole),
        ("JSON lines", verdicts),
    )
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, action in work:
            with multiprocessing.get_context("spawn").Pool(1) as fresh:
                results.setdefault(name, {}).update(fresh.apply(action, (name, place, count)))
        sizes = {"JSON lines": "lines/samples.jsonl", "SQLite": "samples.db"}
        megabytes = {name: (place / file).stat().st_size / 1e6 for name, file in sizes.items()}
    print(f"{count} samples of {TOKENS} tokens, {K} to a group; processor seconds")
    for name, seconds in results.items():
        size = f"  {megabytes[name]:.0f} MB" if name in megabytes else ""
        print(f"{name:11}" + "".join(f"  {what} {value:6.1f}" for what, value in seconds.items()) + size)
    for what in ("write", "load", "read"):
        ratio = results["SQLite"][what] / results["JSON lines"][what]
        print(f"SQLite takes {ratio:.2f} times as long to {what}")


if __name__ == "__main__":
    main()
