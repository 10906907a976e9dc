"""How many cases a fuzz test tries: its share of SKINFLOW_FUZZ, of 2,000 unless it says otherwise.

Without the variable the cases are always the same, so that CI does not fail by chance.
"""

import os

from hypothesis import HealthCheck, settings

TOTAL = int(os.environ.get("SKINFLOW_FUZZ", "2000"))
SECONDS = 5


def fuzz(share: float) -> settings:
    """Settings of a test that tries this share of all cases; none may take `SECONDS`."""
    return settings(
        max_examples=max(1, round(TOTAL * share)),
        deadline=1000 * SECONDS,
        derandomize="SKINFLOW_FUZZ" not in os.environ,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
