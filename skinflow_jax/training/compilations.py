"""How often XLA has compiled a program: a step that recompiles is slow, and nothing reports it."""

from jax import monitoring

_EVENT = "/jax/core/compile/backend_compile_duration"
_count = 0


def compilations() -> int:
    """Programs compiled by this process since this module was imported."""
    return _count


def _listen(event: str, duration: float, **_) -> None:
    global _count
    _count += event == _EVENT


monitoring.register_event_duration_secs_listener(_listen)
