"""Benchmarks import one another by their bare names, as scripts of one folder do."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
