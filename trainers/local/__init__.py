"""The local trainer: one process, plain PyTorch, any Hugging Face causal LM, whole or LoRA."""
