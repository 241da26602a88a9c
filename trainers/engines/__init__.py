"""Engines that draw completions: ``hf`` and ``vllm`` in this process, ``openai`` over HTTP."""
