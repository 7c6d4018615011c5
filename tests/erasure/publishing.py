"""A department's process that publishes calls of made-up people until it is killed.

    python -m tests.erasure.publishing HOME TAG

It prints the id of each event that Kafka has acknowledged.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from maplebridge.producers import Department
from maplebridge.settings import Profile
from tests.erasure.people import Person, call


def main() -> None:
    profile = Profile.load(Path(sys.argv[1]))
    with Department("hotline", settings=profile.settings("dept-hotline")) as hotline:
        for number in count():
            event_id = call(hotline, Person.made_up(), f"{sys.argv[2]}-{number}")
            sys.stdout.write(f"{event_id}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
