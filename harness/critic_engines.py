"""Engines of critics that ask a language model: opened from the critic's settings, until the process ends."""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sdbench.harness.engines import EngineChoice, make_engine
from sdbench.tasks.errors import UserError
from sdbench.trainers.critic.llm_settings import CriticEngine, LlmSettings
from sdbench.trainers.engines.openai import KEY_VARIABLE, OpenAIEngine
from sdbench.trainers.model_folder import check_model_folder


def open_critic_engine(settings: LlmSettings) -> CriticEngine:
    """The engine that a critic's settings name. On a server a request that fails for good leaves the others be.

    Raises:
        UserError: there is no such server or model, or the engine is not installed.
    """
    stack = ExitStack()
    atexit.register(stack.close)
    if settings.engine == "openai":
        assert settings.base_url is not None, "its settings say so"
        try:
            server = OpenAIEngine(
                settings.base_url,
                model=settings.model,
                endpoint=settings.endpoint,
                key=os.environ.get(KEY_VARIABLE) or None,
                max_concurrent=settings.max_concurrent,
                timeout_seconds=settings.timeout_seconds,
                attempts=settings.attempts,
                longest_pause_seconds=settings.longest_pause_seconds,
                finish_others=True,
            )
        except UserError as error:
            raise UserError(str(error).replace("--base-url", "base_url of [critic.settings]")) from None
        return CriticEngine(engine=stack.enter_context(server), to_prompt=str)
    folder = check_model_folder(settings.model)
    engine = stack.enter_context(make_engine(EngineChoice(name=settings.engine), model=folder))
    return CriticEngine(engine=engine, to_prompt=_user_turn(folder))


def _user_turn(folder: Path) -> Any:
    """Wraps what is asked into one user turn of the model's chat template; a blank line follows where it has none."""
    from sdbench.trainers.models import load_tokenizer

    tokenizer = load_tokenizer(folder)

    def to_prompt(content: str) -> str:
        if not tokenizer.chat_template:
            return f"{content}\n\n"
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        assert isinstance(rendered, str), "one conversation, not tokenized"
        return rendered

    return to_prompt
