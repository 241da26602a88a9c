from __future__ import annotations

from sdbench.tasks.nano.problems import parse_problem
from sdbench.tasks.nano.token_classes import mark_tokens
from sdbench.tasks.token_records import TokenClass, TokenMark, TokenRole

PROBLEM = parse_problem("sum3:a1b2c3")
CLASS_LETTERS = {
    TokenClass.CORRECT: "c",
    TokenClass.FIRST_ERROR: "E",
    TokenClass.AFTER_ERROR: "a",
    TokenClass.NOTATION: "n",
    TokenClass.OTHER: "o",
}


def classes(marks: tuple[TokenMark, ...]) -> str:
    return "".join(CLASS_LETTERS[mark.token_class] for mark in marks)


def errors(text: str) -> list[int]:
    return [index for index, mark in enumerate(mark_tokens(PROBLEM, list(text))) if mark.error]


def test_every_character_of_a_trace_with_a_wrong_result() -> None:
    text = "a1+b2=p3;p3+c3=q7;#7"
    marks = mark_tokens(PROBLEM, [*text, ""])
    assert classes(marks) == "cccccnccnEEEEEnEEnooo"
    assert [index for index, mark in enumerate(marks) if mark.error] == [text.index("q7") + 1]
    assert [index for index, mark in enumerate(marks) if mark.step_start] == [0, 9]
    results = [index for index, mark in enumerate(marks) if mark.role is TokenRole.RESULT]
    assert results == [7, 16]
    assert [text[index] for index in range(18) if marks[index].role is TokenRole.NAME] == ["a", "b", "p", "c"]
    assert [text[index] for index in range(18) if marks[index].role is TokenRole.RESULT_NAME] == ["p", "q"]
    assert [text[index] for index in range(18) if marks[index].role is TokenRole.SEPARATOR] == ["=", ";", "=", ";"]


def test_what_follows_the_first_error_is_after_it_though_right_by_itself() -> None:
    problem = parse_problem("sum4:a1b2c3d4")
    marks = mark_tokens(problem, list("a1+b2=p4;p4+c3=q7;q7+d4=r1;#1"))
    assert classes(marks) == "EEEEEnEEn" + 2 * "aaaaanaan" + "oo"


def test_a_right_trace_has_no_error_on_either_procedure() -> None:
    for text in ("a1+b2=p3;p3+c3=q6;#6", "c3+b2=i5;i5+a1=j6;#6"):
        marks = mark_tokens(PROBLEM, list(text))
        assert classes(marks) == 2 * "cccccnccn" + "oo"
        assert not any(mark.error for mark in marks)


def test_the_error_lies_where_the_fault_does() -> None:
    assert errors("a1+b5=p6;") == [4]  # b holds 2
    assert errors("a2+b5=p7;") == [1, 4]
    assert errors("a1+b2=p3;p4+c3=q7;") == [10]  # p was said to be 3
    assert errors("a1+c3=p4;") == [3]  # one procedure opens with a+b, none with a+c
    assert errors("b2+a1=p3;") == [0]
    assert errors("a1+b2=p3;c3+p3=q6;") == [9]  # on the opened procedure the left operand is p
    assert errors("a1+b2=i3;") == [6]
    assert errors("a1+b2=p3;p3+c3=q6;q6+a1=r7;") == [18]  # the procedure is over


def test_only_one_step_holds_errors() -> None:
    assert errors("a1+b2=p4;p4+c3=q8;") == [7]


def test_text_without_steps_is_other() -> None:
    assert classes(mark_tokens(PROBLEM, list("#6"))) == "oo"
    assert classes(mark_tokens(PROBLEM, list("a1+b2="))) == "oooooo"
    assert mark_tokens(PROBLEM, []) == ()
    assert classes(mark_tokens(PROBLEM, ["", "<", "x"])) == "ooo"


def test_a_token_of_several_characters_belongs_to_the_most_telling_of_them() -> None:
    pieces = ["a1+", "b2=", "p3;p", "3+c3=q", "7;", "#7"]
    marks = mark_tokens(PROBLEM, pieces)
    assert classes(marks) == "ccEEEo"
    assert [mark.error for mark in marks] == [False, False, False, False, True, False]
    assert [mark.step_start for mark in marks] == [True, False, True, False, False, False]
    assert {mark.role for mark in marks} == {TokenRole.OTHER}
    assert mark_tokens(PROBLEM, ["a1+b2", "=", "p3;"])[1].token_class is TokenClass.NOTATION
