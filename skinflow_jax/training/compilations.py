"""How often a program had to be made: a step that waits for one is slow, and nothing reports it.

A program read from the compilation cache counts like one that XLA compiled. It was traced and
waited for all the same, and a run's count must not hang on what earlier runs left in the cache.
"""

from jax import monitoring

_EVENT = "/jax/core/compile/backend_compile_duration"
_count = 0


def compilations() -> int:
    """Programs compiled, or read from the cache, by this process since this module was imported."""
    return _count


def _listen(event: str, duration: float, **_) -> None:
    global _count
    _count += event == _EVENT


monitoring.register_event_duration_secs_listener(_listen)
