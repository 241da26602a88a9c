"""What a condition is: feedback, objective, teacher and budget, as recipes name them. Loads no torch."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class StrictModel(BaseModel):
    """A settings model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GrpoSettings(StrictModel):
    """Group-relative policy optimisation with a binary reward (DeepSeekMath, arXiv 2402.03300).

    ``degenerate_groups``: what becomes of a group whose rewards are all equal: ``zero`` keeps it with zero advantage
    (it still counts in the mean over tokens), ``drop`` leaves it out. ``std_normalisation``: divide by the group's
    standard deviation. ``length_normalisation``: ``token_mean`` over all tokens of the batch, ``sequence_mean`` per
    rollout first.
    """

    name: Literal["grpo"] = "grpo"
    clip_low: float = Field(default=0.2, gt=0)
    clip_high: float = Field(default=0.2, gt=0)
    std_normalisation: bool = True
    degenerate_groups: Literal["zero", "drop"] = "zero"
    length_normalisation: Literal["token_mean", "sequence_mean"] = "token_mean"


class DistillationSettings(StrictModel):
    """A per-token divergence between self-teacher and student on the student's own completion.

    ``divergence``: ``forward_kl`` = KL(teacher || student), ``reverse_kl`` = KL(student || teacher), ``jsd``.
    ``form``: ``full`` over the vocabulary, ``top_k`` over the teacher's top-k with a tail bucket, ``sampled`` the
    sampled token alone (policy gradient of reverse KL). ``token_clip``: upper bound of the divergence of one token
    (of its one-sample estimate in the form ``sampled``), None is off.
    ``importance_clip``: upper bound of the ratio between the current and the sampling policy, None is off.
    """

    name: Literal["distillation"] = "distillation"
    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = "reverse_kl"
    form: Literal["full", "top_k", "sampled"] = "full"
    top_k: int = Field(default=20, ge=1)
    jsd_teacher_weight: float = Field(default=0.5, gt=0, lt=1)
    token_clip: float | None = Field(default=None, gt=0)
    importance_clip: float | None = Field(default=None, gt=0)
    reduction: Literal["token_mean", "sequence_mean"] = "token_mean"

    @model_validator(mode="after")
    def _refuse_settings_without_effect(self) -> Self:
        fields = type(self).model_fields
        if self.form == "sampled" and self.divergence != "reverse_kl":
            raise ValueError(
                f"form 'sampled' is the policy gradient of reverse_kl; divergence {self.divergence!r} needs "
                "form 'full' or 'top_k'"
            )
        if self.form != "top_k" and self.top_k != fields["top_k"].default:
            raise ValueError(
                f"top_k {self.top_k} has no effect with form {self.form!r}; set form to 'top_k' or drop it"
            )
        if self.divergence != "jsd" and self.jsd_teacher_weight != fields["jsd_teacher_weight"].default:
            raise ValueError(
                f"jsd_teacher_weight {self.jsd_teacher_weight} has no effect with divergence {self.divergence!r}; "
                "set divergence to 'jsd' or drop it"
            )
        return self


class TeacherSettings(StrictModel):
    """Which weights the teacher has: the initial ones, a moving average, or the student's own.

    ``ema_rate`` is the share of the student in each update of the average.
    """

    kind: Literal["frozen", "ema", "live"] = "frozen"
    ema_rate: float = Field(default=0.05, gt=0, le=1)


class BudgetSettings(StrictModel):
    """How much a condition may spend. A step draws ``rollouts_per_step`` rollouts in groups of ``group_size``."""

    steps: int = Field(default=70, ge=1)
    rollouts_per_step: int = Field(default=32, ge=1)
    group_size: int = Field(default=1, ge=1)


class FeedbackSpec(StrictModel):
    """A feedback type by name and its settings."""

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)


class ConditionSpec(StrictModel):
    """One condition, complete: what ``[conditions.NAME]`` of a recipe resolves to."""

    name: str
    feedback: FeedbackSpec
    objective: GrpoSettings | DistillationSettings = Field(discriminator="name")
    teacher: TeacherSettings = TeacherSettings()
    budget: BudgetSettings = BudgetSettings()
    learning_rate: float = Field(default=3e-4, gt=0)
