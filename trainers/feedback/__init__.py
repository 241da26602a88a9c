"""Feedback types: how the privileged context of a teacher is built."""
