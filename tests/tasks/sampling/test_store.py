import json
import subprocess
import sys

import pytest

from sdbench.tasks.errors import UserError
from sdbench.tasks.grading.verdict import Verdict
from sdbench.tasks.outcome import FinishReason
from sdbench.tasks.sampling.store import DrawTiming, GroupKey, SampleStore, StoredSample, StoredVerdict

GROUP = GroupKey(settings_digest="s", prompt_hash="p", model_digest="m", task="sum_1", problem_id="a")


def sample(index, group=GROUP, text="1;#4"):
    return StoredSample(
        group=group,
        index=index,
        seed=2**63 - 1 - index,
        token_ids=(5, 6, index, 1),
        text=text,
        finish_reason=FinishReason.STOP,
        engine="hf",
    )


def test_what_is_added_is_read_back(tmp_path):
    # Line separators, quotes and a lone surrogate of a broken decoding must not break the lines.
    texts = ["a\nb\r\u2028c", 'quote " and \\', "\ud800", ""]
    written = [sample(index, text=text) for index, text in enumerate(texts)]
    SampleStore(tmp_path / "new").add(written)
    store = SampleStore(tmp_path / "new")
    assert list(store.samples(GROUP).values()) == written
    assert not store.dropped_lines.total()
    header, *rows = (tmp_path / "new" / "samples.jsonl").read_text().splitlines()
    assert json.loads(header) == {"format_version": 1, "kind": "samples"}
    assert len(rows) == 4


@pytest.mark.parametrize("reopen", [True, False])
def test_raising_k_asks_only_for_what_is_new(tmp_path, reopen):
    store = SampleStore(tmp_path)
    assert store.missing(GROUP, 4) == [0, 1, 2, 3]
    store.add([sample(index) for index in (0, 1, 3)])
    store = SampleStore(tmp_path) if reopen else store
    assert store.missing(GROUP, 4) == [2]
    store.add([sample(2)])
    assert store.missing(GROUP, 4) == []
    assert store.missing(GROUP, 2) == []
    assert store.missing(GROUP, 8) == [4, 5, 6, 7]


@pytest.mark.parametrize("field", ["settings_digest", "prompt_hash", "model_digest", "task", "problem_id"])
def test_each_part_of_the_key_keeps_groups_apart(tmp_path, field):
    store = SampleStore(tmp_path)
    store.add([sample(0)])
    other = GroupKey(**{**GROUP.__dict__, field: "other"})
    assert store.missing(other, 1) == [0]
    store.add([sample(0, group=other)])
    assert list(SampleStore(tmp_path).samples(other)) == [0]


def test_a_half_written_last_line_is_dropped_counted_and_mended(tmp_path):
    store = SampleStore(tmp_path)
    store.add([sample(0), sample(1)])
    path = tmp_path / "samples.jsonl"
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    for kept in range(1, len(last)):  # a crash can stop a write anywhere
        path.write_bytes(whole[: len(whole) - len(last) + kept])
        store = SampleStore(tmp_path)
        assert list(store.samples(GROUP)) == [0]
        assert store.dropped_lines == {"samples.jsonl": 1}
    store.add([sample(1)])
    assert path.read_bytes() == whole
    assert list(SampleStore(tmp_path).samples(GROUP)) == [0, 1]


def test_a_long_half_written_line_is_mended(tmp_path):
    store = SampleStore(tmp_path)
    store.add([sample(0)])
    with (tmp_path / "samples.jsonl").open("ab") as stream:
        stream.write(b'{"text":"' + b"x" * 200_000)
    store = SampleStore(tmp_path)
    store.add([sample(1)])
    assert list(SampleStore(tmp_path).samples(GROUP)) == [0, 1]


def test_a_half_written_header_is_written_anew(tmp_path):
    (tmp_path / "samples.jsonl").write_bytes(b'{"format_ver')
    store = SampleStore(tmp_path)
    assert store.missing(GROUP, 1) == [0]
    assert store.dropped_lines == {"samples.jsonl": 1}
    store.add([sample(0)])
    assert list(SampleStore(tmp_path).samples(GROUP)) == [0]


@pytest.mark.parametrize(
    "bad",
    [b'{"half', b"", b"[]", b"null", b"\xff\xfe", b'{"index":0}'],
)
def test_any_other_broken_line_is_named(tmp_path, bad):
    SampleStore(tmp_path).add([sample(0), sample(1)])
    path = tmp_path / "samples.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[1] = bad
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(UserError, match=r"samples\.jsonl line 2 is broken") as caught:
        SampleStore(tmp_path).samples(GROUP)
    assert "\n" not in str(caught.value)


def test_a_broken_whole_last_line_is_named(tmp_path):
    SampleStore(tmp_path).add([sample(0)])
    with (tmp_path / "samples.jsonl").open("ab") as stream:
        stream.write(b'{"index":1}\n')
    with pytest.raises(UserError, match="line 3 is broken"):
        SampleStore(tmp_path).samples(GROUP)


@pytest.mark.parametrize(
    "change", [{"token_ids": "5 6"}, {"finish_reason": "tired"}, {"seed": "7"}, {"index": None}, {"task": 3}]
)
def test_wrong_types_are_named(tmp_path, change):
    SampleStore(tmp_path).add([sample(0)])
    path = tmp_path / "samples.jsonl"
    header, row = path.read_text().splitlines()
    path.write_text(header + "\n" + json.dumps({**json.loads(row), **change}) + "\n")
    with pytest.raises(UserError, match="line 2 is broken"):
        SampleStore(tmp_path).samples(GROUP)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('{"format_version": 2, "kind": "samples"}', "version 2"),
        ('{"format_version": 1, "kind": "verdicts"}', "verdicts"),
        ("{}", "not the header"),
        ("hello", "not the header"),
    ],
)
def test_a_foreign_header_is_refused_for_reading_and_writing(tmp_path, header, message):
    (tmp_path / "samples.jsonl").write_text(header + "\n")
    with pytest.raises(UserError, match=message):
        SampleStore(tmp_path).samples(GROUP)
    with pytest.raises(UserError, match=message):
        SampleStore(tmp_path).add([sample(0)])
    assert (tmp_path / "samples.jsonl").read_text() == header + "\n"


def test_a_sample_is_never_there_twice(tmp_path):
    store = SampleStore(tmp_path)
    store.add([sample(0)])
    before = (tmp_path / "samples.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"sample 0 .* already"):
        store.add([sample(1), sample(0)])
    with pytest.raises(ValueError, match=r"sample 2 .* already"):
        store.add([sample(2), sample(2)])
    assert (tmp_path / "samples.jsonl").read_bytes() == before
    assert store.missing(GROUP, 3) == [1, 2]
    with (tmp_path / "samples.jsonl").open("ab") as stream:
        stream.write(before.splitlines(keepends=True)[1])
    with pytest.raises(UserError, match="line 3 repeats sample 0 of sum_1/a"):
        SampleStore(tmp_path).samples(GROUP)


def test_verdicts_can_be_redone_without_touching_samples(tmp_path):
    store = SampleStore(tmp_path)
    store.add([sample(0), sample(1)])
    before = (tmp_path / "samples.jsonl").read_bytes()
    wrong = Verdict(verdict="wrong", rule="integer", extracted="5")
    right = Verdict(verdict="correct", rule="integer", extracted="4")
    nothing = Verdict(verdict="no_answer", rule="none")
    store.add_verdicts([StoredVerdict(group=GROUP, index=i, grader="nano/1", verdict=wrong) for i in (0, 1)])
    store.add_verdicts([StoredVerdict(group=GROUP, index=0, grader="nano/2", verdict=nothing)])
    store.add_verdicts([StoredVerdict(group=GROUP, index=1, grader="nano/1", verdict=right)])
    again = SampleStore(tmp_path)
    assert again.verdicts("nano/1") == {(GROUP, 0): wrong, (GROUP, 1): right}
    assert again.verdicts("nano/2") == {(GROUP, 0): nothing}
    assert again.verdicts("nano/3") == {}
    assert (tmp_path / "samples.jsonl").read_bytes() == before


def test_times_stand_in_their_own_file(tmp_path):
    store = SampleStore(tmp_path)
    timing = DrawTiming(engine="hf", task="sum_1", samples=2, completion_tokens=8, seconds=0.25)
    store.add([sample(0)])
    store.add_timing(timing)
    assert SampleStore(tmp_path).timings() == [timing]
    assert "seconds" not in (tmp_path / "samples.jsonl").read_text()


def test_nothing_is_written_before_there_is_something(tmp_path):
    store = SampleStore(tmp_path / "none")
    assert store.samples(GROUP) == {}
    assert store.missing(GROUP, 0) == []
    store.add([])
    assert not (tmp_path / "none").exists()


def test_store_loads_no_torch():
    code = "import sys, sdbench.tasks.sampling.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
