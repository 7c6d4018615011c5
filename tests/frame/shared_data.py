"""Where the public data are that some tests read; each of these skips where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

from tests.frame.repository import ROOT

SHARED_DATA = Path(os.environ.get("MAPLEBRIDGE_SHARED_DATA") or ROOT.parent / "shared" / "data")
BOSTON_ROWS = SHARED_DATA / "boston311_2015-10.csv"
PUBLISHED_REGIONS = SHARED_DATA / "regions_330681.csv"
DOMAIN = SHARED_DATA.parent / "domain.yaml"
