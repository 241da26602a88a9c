from __future__ import annotations

import random

import pytest

from sdbench.tasks.nano.facts import default_facts
from sdbench.tasks.nano.problems import Split, parse_problem
from sdbench.tasks.nano.step_truth import judge_trace
from sdbench.trainers.nano_base.documents import FOLLOW_PROBABILITY, STAGES, WRITERS, Document, DocumentWriter
from sdbench.trainers.nano_base.tokenizer import build_tokenizer


def documents(kind: str, count: int = 400) -> list[Document]:
    writer = DocumentWriter(facts=default_facts(), rng=random.Random(kind))
    return [writer.write(kind) for _ in range(count)]


def share_right(kind: str) -> float:
    right = 0
    drawn = documents(kind, 1200)
    for document in drawn:
        problem = parse_problem(document.prompt.split("|")[0].rstrip(">"))
        right += judge_trace(problem, document.completion).answer == problem.answer
    return right / len(drawn)


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_is_written_in_the_vocabulary_and_restates_a_problem(kind: str) -> None:
    tokenizer = build_tokenizer()
    for document in documents(kind, 60):
        text = document.prompt + document.completion
        ids = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text
        problem = parse_problem(document.prompt.split("|")[0].rstrip(">"))
        assert problem.split is Split.PRETRAINING
        if kind != "none":
            restated = parse_problem(document.prompt.split("|")[1].split(" ")[1].split("/")[0])
            assert (restated == problem) == ("mismatched" not in kind)


def test_useless_contexts_are_followed_by_the_usual_noise_and_true_ones_by_clean_solutions() -> None:
    usual = share_right("none")
    for kind in ("note", "mismatched_reference", "mismatched_critique", "wrong_reference", "plan"):
        assert share_right(kind) == pytest.approx(usual, abs=0.05), kind
    for kind in ("reference", "critique", "critique_whole", "critique_none"):
        assert share_right(kind) > 0.85, kind


@pytest.mark.parametrize("kind", ["reference", "critique"])
def test_a_shown_path_is_followed_with_one_probability_whatever_the_wrapper(kind: str) -> None:
    followed, total = 0, 0
    for document in documents(kind, 2500):
        problem = parse_problem(document.prompt.split("|")[0])
        body = document.prompt.split("/", 1)[1].rstrip(">").replace("!", "")
        shown, taken = judge_trace(problem, body).path, judge_trace(problem, document.completion).path
        if shown is not None and taken is not None:
            followed += shown == taken
            total += 1
    assert total > 1000
    assert followed / total == pytest.approx(FOLLOW_PROBABILITY, abs=0.035)


@pytest.mark.parametrize(("follow", "slip"), [(0.2, 0.6), (1.0, 0.0)])
def test_how_references_pull_and_slip_is_a_setting(follow: float, slip: float) -> None:
    writer = DocumentWriter(
        facts=default_facts(),
        rng=random.Random(0),
        reference_follow_probability=follow,
        word_slip_probability=slip,
    )
    followed, judged, slipped, worded = 0, 0, 0, 0
    for _ in range(1500):
        document = writer.write("reference")
        problem = parse_problem(document.prompt.split("|")[0])
        body = document.prompt.split("/", 1)[1].rstrip(">")
        shown, taken = judge_trace(problem, body).path, judge_trace(problem, document.completion).path
        if shown is not None and taken is not None:
            followed += shown == taken
            judged += 1
        in_words = any(word in body for word in ("plus", "minus", "times"))
        worded += in_words
        slipped += in_words and any(word in document.completion for word in ("plus", "minus", "times"))
    assert min(judged, worded) > 400
    assert followed / judged == pytest.approx(follow, abs=0.04)
    assert slipped / worded == pytest.approx(slip, abs=0.06)


def test_the_same_seed_gives_the_same_documents() -> None:
    assert documents("critique", 20) == documents("critique", 20)


def test_both_stages_draw_every_kind_in_the_proportion_of_their_weights() -> None:
    for stage in STAGES:
        assert stage.weights.keys() == WRITERS.keys()
        writer = DocumentWriter(facts=default_facts(), rng=random.Random(1), stage=stage)
        kinds = [writer.write().kind for _ in range(4000)]
        for kind, weight in stage.weights.items():
            assert kinds.count(kind) / 4000 == pytest.approx(weight / sum(stage.weights.values()), abs=0.03)
