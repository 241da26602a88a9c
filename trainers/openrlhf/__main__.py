"""``python -m sdbench.trainers.openrlhf``: OpenRLHF's own command line, and ``--sdbench.*`` beside it."""

from sdbench.trainers.openrlhf.entry import main

if __name__ == "__main__":
    main()
