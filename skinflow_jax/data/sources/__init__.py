"""Where images come from; every source offers the same numbered cases (see `case`)."""

from skinflow_jax.data.sources.case import Caption, Case, Source
from skinflow_jax.data.sources.procedural import ProceduralSource

__all__ = ["Caption", "Case", "ProceduralSource", "Source"]
