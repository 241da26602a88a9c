"""Lets the tests of this folder import their helpers: importlib mode leaves their folders off the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))
sys.path.insert(0, str(Path(__file__).parent))
