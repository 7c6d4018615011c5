"""Whatever befalls the workers and servers, no event is lost and none counts twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from random import Random

import pytest

from tests.faults.conftest import Site
from tests.faults.runs import FAULTS, RECOVERY_S, Run, went_through
from tests.processors.lanes import Lane, made_lanes

SEED = 20261128
RUNS = 20
NIGHTLY_RUNS = 207


def faults(count: int) -> list[tuple[str, int]]:
    """Return so many runs, as often of each fault: fault and seed."""
    return [(fault, SEED + at) for at, fault in enumerate(islice(cycle(FAULTS), count))]


def go(site: Site, lanes: Callable[..., Lane], fault: str, seed: int, folder: Path) -> float:
    lane = lanes()
    clean = lanes(lane.since)
    run = Run(site.stack, site.kafka, lane, clean, site.poison, Random(seed), folder)
    return went_through(run, fault)


@pytest.mark.parametrize(("fault", "seed"), faults(RUNS))
def test_a_fault_loses_nothing_and_counts_nothing_twice(
    site: Site, lanes: Callable[..., Lane], tmp_path: Path, fault: str, seed: int
) -> None:
    """F1, F2, F3, F4, F5, F6, F9, F12, F14."""
    assert go(site, lanes, fault, seed, tmp_path) < RECOVERY_S


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_two_hundred_faults_lose_nothing_and_count_nothing_twice(
    site: Site, tmp_path: Path
) -> None:
    """F1, F2, F3, F4, F5, F6, F9, F12, F14; prints the figures of docs/threats.md."""
    took = defaultdict(list)
    for fault, seed in faults(RUNS + NIGHTLY_RUNS)[RUNS:]:
        folder = tmp_path / str(seed)
        folder.mkdir()
        with made_lanes(site.kafka) as lanes:
            took[fault].append(go(site, lanes, fault, seed, folder))
    for fault, seconds in took.items():
        print(f"{fault}: {len(seconds)} runs, recovered in {max(seconds):.1f} s at most")
    assert max(map(max, took.values())) < RECOVERY_S
