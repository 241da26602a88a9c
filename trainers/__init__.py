"""The middle floor: how a checkpoint is made."""
