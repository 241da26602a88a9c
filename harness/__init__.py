"""The top floor: the front door and the stages behind it."""
