"""How many cases a fuzz test tries: SKINFLOW_FUZZ, 200 unless it says otherwise."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("SKINFLOW_FUZZ", "200")),
    # No case may hang: each has five seconds, a thousand times what one needs.
    deadline=5000,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("fuzz")
