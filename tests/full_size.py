"""Publish a replica at its full size: `python tests/full_size.py GROUP HF_HOME`, in a process of its own."""

import sys
from pathlib import Path

from replicas import REPLICAS, Publisher, full_size

if __name__ == "__main__":
    group, home = sys.argv[1:]
    (replica,) = [each for each in REPLICAS if each.name == group]
    Publisher(Path(home)).publish(full_size(replica))
