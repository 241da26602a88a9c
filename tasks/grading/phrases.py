"""Answers that no box holds: after hash marks, after an anchor phrase, or in a concluding sentence.

A number that merely stands last in a text is never read. English anchors are known best; the short ones of a few other
languages stand beside them.
"""

from __future__ import annotations

import re

_NUMBER = r"[-+]?[$€£]?[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d+)?"
# "#4" ends a nano trace; "#### 18 dollars" a GSM8K solution. A Markdown heading ("#### 4. Conclusion") is neither.
_HASH = re.compile(
    rf"(?:^|[;,])[ \t]*(?:#(?P<short>{_NUMBER})|####[ \t]*(?P<long>\\?{_NUMBER}[ \t]*(?:\\?%|[A-Za-z]+)?|\$[^$\n]+\$))"
    r"\.?[ \t]*$",
    re.MULTILINE,
)
_PHRASE = re.compile(
    r"(?:\bfinal[ \t]+answer\b|\b(?:the|my|our)[ \t]+(?:correct[ \t]+|required[ \t]+)?answer\b|\banswer(?=[ \t]+is\b)"
    r"|^[*_#> \t]*answer\b(?=[*_ \t]*:)|\b(?-i:Answer)(?=[*_ \t]*:)|\banswer\b(?=[ \t]*(?:\$|\\\(|\\\[)))"
    r"(?:[ \t*_]*(?::|=|\bis\b|\bare\b)|[ \t]*\*\*[ \t]*\n|[ \t]*(?=\$|\\\(|\\\[))[\s:*=]*"
    r"|(?:答案|答え|答)[*]*(?:是|为|為|は|[:：])[*:：\s]*"
    r"|\b(?:r[ée]ponse|respuesta|resposta|risposta|antwort|lösung|ответ|odpowiedź)\b"
    r"(?:[ \t]*[:=]|[ \t]+(?:est|es|é|è|ist))[\s*:]*"
    r"|(?:الجواب|الإجابة|उत्तर)\s*(?:هو|هي|है|[:：])[\s*:：]*",
    re.IGNORECASE | re.MULTILINE,
)
# Only a displayed formula spans lines; a dollar sign further down belongs to something else.
_FORMULA = re.compile(r"\$\$((?s:.+?))\$\$|\$((?:\\\$|[^$\n])+)\$|\\\((.+?)\\\)|\\\[((?s:.+?))\\\]")
_QUOTES = re.compile(r"(?:\\?[\"'“])+")
_SENTENCE_END = re.compile(r"\n|[.!?;](?=\s|$)|[。！？।]|\s(?:because|since)\s|<\|")
# "Final answer: the largest $n$ is 34": a sentence that begins with a word says its answer after its last verb.
_PREDICATE = re.compile(r"(?:[^\W\d_]{2,}\s.*\b(?:is|are|equals|est|es|ist)\s+|\w+是\s*)(\S.*)")

_RESIDUE = re.compile(r"(?:\s*(?:<\|[^|>]*\|>\w*|I hope (?:it|this) is correct\.?))+\s*\Z", re.IGNORECASE)
_CONCLUSION = re.compile(
    r"(?<![^\W_])(?:therefore|thus|hence|consequently|in conclusion|so the answer|conclusion"
    r"|因此|所以|故|结论|結論|综上|よって|したがって|donc|ainsi|por (?:lo )?tanto|also|daher|somit|следовательно|итак"
    r"|لذا|لذلك|إذن|وبالتالي|इसलिए|अतः)(?![A-Za-z])",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"(?<=[.!?])\s+|(?<=[。！？।])\s*|\n\s*")
_MARK = "\x00"
_BEFORE_FORMULA = re.compile(r"(?:\b(?:is|are|equals|be|find that|get that|have that)|:)\s*\x00", re.IGNORECASE)
_AFTER_FORMULA = re.compile(
    r"\s*[*_]*\s*(?:is|are) (?:the|our|my) (?:final )?(?:solution|answer)s?[*_ .!]*", re.IGNORECASE
)
_NUMERAL = re.compile(rf"(?<![A-Za-z0-9_.,/^]){_NUMBER}(?:\s*\\?%)?(?![\d/]|[.,]\d)(?![A-Za-z]*[\^_])")
_CURRENCY = re.compile(rf"(?<![A-Za-z0-9_.,/^])(?:[$€£]{_NUMBER}|{_NUMBER}\s?[$€£])")
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
_PROSE_WORDS = 2
_TAIL_CHARACTERS = 2000


def after_hashes(text: str) -> tuple[int, str] | None:
    """Where the last hash marks stand, and the answer after them."""
    matches = list(_HASH.finditer(text))
    return (matches[-1].start(), matches[-1]["short"] or matches[-1]["long"]) if matches else None


def after_phrase(text: str) -> tuple[int, str] | None:
    """Where the last anchor phrase stands, and the answer after it, empty where nothing follows."""
    matches = list(_PHRASE.finditer(text))
    return (matches[-1].start(), _read_answer(text[matches[-1].end() :])) if matches else None


def concluded(text: str) -> str | None:
    """The answer in a concluding last sentence, or None.

    A sentence concludes when it ends in a formula that "is" or a colon announces, when it calls its formula the answer,
    or when it begins with a word such as "therefore" and holds one formula or, finished, one number.
    """
    text = _RESIDUE.sub("", text[-_TAIL_CHARACTERS:].replace(_MARK, " ")).strip()
    formulas: list[str] = []

    def mark(match: re.Match[str]) -> str:
        formulas.append(next(group for group in match.groups() if group is not None).strip())
        return _MARK

    sentences = [part for part in _SENTENCES.split(_FORMULA.sub(mark, text)) if part.strip(" *_\t")]
    if not sentences:
        return None
    sentence = sentences[-1].strip()
    words = list(_CONCLUSION.finditer(sentence))
    announced = bool(words)
    if announced:
        sentence = sentence[words[-1].start() :]
    count = sentence.count(_MARK)
    if count:
        return _concluding_formula(sentence, formulas[-count:], announced=announced)
    if not announced or sentence[-1] not in ".!。！।*":
        return None
    bold = [span for span in _BOLD.findall(sentence) if _NUMERAL.search(span)]
    return _only_numeral(bold[0] if len(bold) == 1 else sentence)


def _concluding_formula(sentence: str, formulas: list[str], *, announced: bool) -> str | None:
    before, _, after = sentence.rpartition(_MARK)
    at_end = not after.strip(" .!*_。")
    if at_end and (_BEFORE_FORMULA.search(before[-20:] + _MARK) or (announced and len(formulas) == 1)):
        return formulas[-1]
    return formulas[-1] if _AFTER_FORMULA.fullmatch(after) else None


def _read_answer(rest: str) -> str:
    """The answer that follows an anchor phrase: a formula in delimiters, else what stands up to the sentence's end."""
    rest = rest[match.end() :] if (match := _QUOTES.match(rest)) else rest
    formula = _FORMULA.match(rest)
    if formula is not None and not re.match(r"[ \t]*[^\s.,;:!?*)\"\\<。]", rest[formula.end() :]):
        return next(group for group in formula.groups() if group is not None).strip()
    sentence = _SENTENCE_END.split(rest, maxsplit=1)[0].strip().strip("*_").strip()
    if not sentence.strip("$\\([ "):
        return ""
    predicate = _PREDICATE.fullmatch(sentence)
    if predicate is not None:
        return predicate[1]
    if len(re.findall(r"[A-Za-z]{3,}", re.sub(r"\\[A-Za-z]+", " ", sentence))) > _PROSE_WORDS and not _FORMULA.search(
        sentence
    ):
        return _only_numeral(sentence) or sentence
    return sentence


def _only_numeral(text: str) -> str | None:
    """The only number in a text, or the only one with a sign of currency; None where there are more or none."""
    numerals = _NUMERAL.findall(text)
    if len(numerals) > 1:
        numerals = _CURRENCY.findall(text)
    return numerals[0] if len(numerals) == 1 else None
