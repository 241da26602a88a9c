"""The nano base model: weights, tokenizer, card, and the scripts that made and measured them."""
