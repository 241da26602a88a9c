"""Write the model card from what was measured: ``python -m sdbench.trainers.nano_base.card MODEL_DIR ...``."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdbench.trainers.nano_base.measure import USELESS

NULL_MARGIN = 5.0
READABLE_MARGIN = 12.0
REFERENCES = ("reference_solver", "reference_words")
# A kind informs where its pretraining documents end right this many points more often than without context; it counts
# as read where the base takes at least this share of those points.
INFORMATIVE_GAP = 5.0
READ_SHARE = 0.25


@dataclass(frozen=True)
class Check:
    """One line that the base was asked to meet, what was measured, and whether it holds."""

    asked: str
    measured: str
    holds: bool


def read_share(card: dict[str, Any], kind: str) -> float | None:
    """Of what a context would bring an ideal reader over no context, the share that the base takes.

    None where the pretraining documents themselves gain nothing from it.
    """
    none, row = card["contexts"]["none"]["accuracy"], card["contexts"][kind]
    gain = row["ideal_reader"] - none
    return (row["accuracy"] - none) / gain if gain > INFORMATIVE_GAP else None


def unreadable(card: dict[str, Any]) -> list[str]:
    """Context kinds that tell something of which the base takes next to nothing."""
    shares = {kind: read_share(card, kind) for kind in card["contexts"]}
    return [kind for kind, share in shares.items() if share is not None and share < READ_SHARE]


def checks(card: dict[str, Any]) -> list[Check]:
    """The lines that were asked of the base."""
    rows = card["contexts"]
    none = rows["none"]
    gaps = {kind: rows[kind]["accuracy"] - none["accuracy"] for kind in USELESS}
    behind = {kind: rows["critique"]["accuracy"] - rows[kind]["accuracy"] for kind in REFERENCES}
    dominating = {level: row["dominating_share_of_wrong"] for level, row in card["facts"].items() if level != "known"}
    return [
        Check(
            "accuracy without context between 20 and 45 % (macro)",
            f"{none['accuracy']} %",
            20 <= none["accuracy"] <= 45,
        ),
        Check(
            "malformed without context: at most 5 % at the trained depths, 15 % at the deeper one",
            f"{none['malformed_trained']} % and {none['malformed_deeper']} %",
            none["malformed_trained"] <= 5 and none["malformed_deeper"] <= 15,
        ),
        Check(
            f"null is null: every useless context within {NULL_MARGIN:g} points of none",
            ", ".join(f"{kind} {gap:+.1f}" for kind, gap in gaps.items()),
            all(abs(gap) <= NULL_MARGIN for gap in gaps.values()),
        ),
        Check(
            f"readable: a reference within about {READABLE_MARGIN:g} points of a critique",
            ", ".join(f"{kind} {gap:.1f} behind" for kind, gap in behind.items()),
            all(gap <= READABLE_MARGIN for gap in behind.values()),
        ),
        Check(
            "hidden: one wrong result dominates where a fact is hard (75 % of the wrong ones in pretraining)",
            ", ".join(f"{level} {share} %" for level, share in dominating.items()),
            all(share >= 60 for share in dominating.values()),
        ),
        Check(
            f"every context that informs is read: at least {READ_SHARE:.0%} of an ideal reader's gain",
            "unreadable: " + (", ".join(unreadable(card)) or "none"),
            not unreadable(card),
        ),
    ]


def render(card: dict[str, Any], *, settings: dict[str, Any], losses: list[dict[str, Any]], command: str) -> str:
    """The card as Markdown."""
    last = losses[-1]
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags: [sdbench, nano]",
        "---",
        "# The nano base of sdbench",
        "",
        f"A Llama-architecture model of {card['parameters']:,} parameters for the nano world of sdbench: arithmetic",
        "modulo ten in named steps, with step-level truth. It is the instrument's test specimen, not a model of",
        "language: it makes local mistakes in known places, reads privileged contexts of many kinds, and ignores the",
        "useless ones.",
        "This page is written by `python -m sdbench.trainers.nano_base.card` from what `measure` found.",
        "",
        "## How it was made",
        f"`{command}`",
        "",
        f"Seed {settings['seed']}, {last['step']:,} steps, {last['tokens'] / 1e6:.1f} M tokens, "
        f"{last['seconds'] / 3600:.2f} hours on one busy CPU core; AdamW, a cosine schedule in each stage.",
        "The loss is on completion tokens alone. The script resumes and gives the same weights again.",
        "",
        "| step | million tokens | loss (mean of 50 steps) |",
        "|---|---|---|",
        *(
            f"| {row['step']} | {row['tokens'] / 1e6:.1f} | {row['loss']:.4f} |"
            for row in [*losses[:: max(1, len(losses) // 14)], last]
        ),
        "",
        *(
            f"Documents of stage {index} (relative weights, from step {start}; of the mismatches "
            f"{100 * stage['other_family_mismatch_share']:g} % are of another family): "
            + ", ".join(f"{kind} {weight:g}" for kind, weight in stage["weights"].items())
            + "."
            for index, start, stage in zip((1, 2), (0, settings["second_stage_step"]), settings["stages"], strict=True)
        ),
        "",
        "## What was asked of it",
        "| asked | measured | holds |",
        "|---|---|---|",
        *(f"| {check.asked} | {check.measured} | {'yes' if check.holds else '**no**'} |" for check in checks(card)),
        "",
        "## Accuracy under each context",
        f"{card['problems']} validation problems of all twelve strata, {card['samples_per_problem']} samples each at "
        "temperature 1; all in %.",
        "The ideal reader is what the pretraining documents themselves would score; *read*: the share of its gain over",
        "no context that the base takes. *Follows*: share of traces on the path that the context shows.",
        "",
        "| context | accuracy (95 %) | trained / deeper | ideal reader | read | malformed trained / deeper "
        "| in words | follows | right when following / leaving |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, row in card["contexts"].items():
        paths = (
            f"{row['follows']} | {row['accuracy_following']} / {row['accuracy_leaving']}"
            if row["follows"] is not None
            else " | "
        )
        share = read_share(card, kind)
        read = "" if share is None else f"{share:.0%}" if share >= READ_SHARE else f"**{share:.0%}: unreadable**"
        lines.append(
            f"| {kind} | {row['accuracy']} ± {row['half_width']} "
            f"| {row['accuracy_trained']} / {row['accuracy_deeper']} | {row['ideal_reader']} | {read} "
            f"| {row['malformed_trained']} / {row['malformed_deeper']} | {row['in_words']} | {paths} |"
        )
    lines += [
        "",
        "Without context, by stratum: "
        + ", ".join(f"{stratum} {value}" for stratum, value in card["contexts"]["none"]["by_stratum"].items())
        + ".",
        "",
        "## Facts",
        "What the base states without context, by how hidden a fact is. "
        f"{card['first_errors_that_are_wrong_results']} % of its first errors are wrong results; the rest is "
        "broken form.",
        "",
        "| level | facts | times stated | right % | commonest wrong result, % of the wrong ones |",
        "|---|---|---|---|---|",
        *(
            f"| {level} | {row['facts']} | {row['stated']} | {row['right']} | {row['dominating_share_of_wrong']} |"
            for level, row in card["facts"].items()
        ),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Command-line entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="the pretraining run: settings.json and loss.jsonl")
    parser.add_argument("--command", required=True, help="the command line that the pretraining was run with")
    arguments = parser.parse_args()
    card = json.loads((arguments.model_dir / "card.json").read_text())
    settings = json.loads((arguments.run / "settings.json").read_text())
    losses = [json.loads(line) for line in (arguments.run / "loss.jsonl").read_text().splitlines()]
    text = render(card, settings=settings, losses=losses, command=arguments.command)
    (arguments.model_dir / "README.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
