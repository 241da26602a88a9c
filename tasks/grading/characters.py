"""Folding of characters: what Unicode offers beside ASCII for digits, signs and letters, as LaTeX or ASCII."""

from __future__ import annotations

import unicodedata

_SIGNS = {
    **dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014\u2015\ufe63\uff0d", "-"),
    **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
    **dict.fromkeys("\u2018\u2019\u02b9\u2032", "'"),
    **dict.fromkeys("\u201c\u201d", '"'),
    **dict.fromkeys("\u3001\u060c", ","),
    "\u066b": ".",
    "\u066c": ",",
    "\u3002": ".",
    "\u2044": "/",
    "\u2215": "/",
    "\u2236": ":",
    "\u00d7": r"\times ",
    "\u00f7": r"\div ",
    "\u00b7": r"\cdot ",
    "\u22c5": r"\cdot ",
    "\u2022": r"\cdot ",
    "\u2217": "*",
    "\u03c0": r"\pi ",
    "\U0001d70b": r"\pi ",
    "\u221e": r"\infty ",
    "\u2264": r"\le ",
    "\u2a7d": r"\le ",
    "\u2265": r"\ge ",
    "\u2a7e": r"\ge ",
    "\u2260": r"\ne ",
    "\u2248": r"\approx ",
    "\u222a": r"\cup ",
    "\u2229": r"\cap ",
    "\u2208": r"\in ",
    "\u2205": r"\emptyset ",
    "\u211d": r"\mathbb{R}",
    "\u00b1": r"\pm ",
    "\u2213": r"\mp ",
    "\u00b0": r"^{\circ}",
    "\u00ba": r"^{\circ}",
    "\u221a": r"\sqrt ",
    "\u221b": r"\sqrt[3]",
    "\u230a": r"\lfloor ",
    "\u230b": r"\rfloor ",
    "\u2308": r"\lceil ",
    "\u2309": r"\rceil ",
    "\u27e8": r"\langle ",
    "\u27e9": r"\rangle ",
    "\uff05": "%",
}
_GREEK = {
    **{
        letter: unicodedata.name(letter).removeprefix("GREEK SMALL LETTER ").lower()
        for letter in "αβγδεζηθικμνξρστυφχψω"
    },
    **{letter: unicodedata.name(letter).removeprefix("GREEK CAPITAL LETTER ").capitalize() for letter in "ΓΔΘΞΠΣΦΨΩ"},
    "λ": "lambda",
    "Λ": "Lambda",
}
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))


def fold_characters(text: str) -> str:
    r"""The text in ASCII as far as mathematics goes: ``７`` is 7, ``x²`` ``x^{2}``, ``3½`` ``3 1/2``, ``√`` ``\sqrt``.

    Marks of writing direction, joiners and other invisible characters go. Letters of other scripts stay.
    """
    if text.isascii():
        return text
    folded: list[str] = []
    for character in text:
        if character.isascii():
            folded.append(character)
        elif character in _SUPERSCRIPTS:
            _extend_script(folded, "^{", _SUPERSCRIPTS[character])
        elif character in _SUBSCRIPTS:
            _extend_script(folded, "_{", _SUBSCRIPTS[character])
        else:
            folded.append(_fold(character, after_digit=bool(folded) and folded[-1][-1:].isdigit()))
    return "".join(folded)


def _extend_script(folded: list[str], opening: str, character: str) -> None:
    """Add to the script that the characters before began, or begin one."""
    if folded and folded[-1].startswith(opening):
        folded[-1] = folded[-1][:-1] + character + "}"
    else:
        folded.append(opening + character + "}")


def _fold(character: str, *, after_digit: bool) -> str:
    if character in _SIGNS:
        return _SIGNS[character]
    if character in _GREEK:
        return f"\\{_GREEK[character]} "
    if unicodedata.category(character) == "Cf":
        return ""
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", character)
    if "\u2044" in plain and plain.replace("\u2044", "").isdigit():
        return (" " if after_digit else "") + plain.replace("\u2044", "/")
    return plain if plain.isascii() else character
