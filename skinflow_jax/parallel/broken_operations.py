"""Whether an error of the devices' runtime means that another process is gone.

Such a run is started again; an error that would come again must end it. The words are those of
gloo (CPU), NCCL (GPU), libtpu and its transport between slices (TPU), and of JAX's coordination
service, as their sources and the bug reports of JAX's users have them.
"""

import re

import jax

from skinflow_jax.errors import STOPPED

# This process's own, whatever else the message says: a program too large, a wrong shape.
_OWN = re.compile(
    r"RESOURCE_EXHAUSTED|OUT_OF_MEMORY|out of memory"
    r"|^\W*(INVALID_ARGUMENT|UNIMPLEMENTED|NOT_FOUND|OUT_OF_RANGE|ALREADY_EXISTS)",
    re.IGNORECASE,
)
_LOST = re.compile(
    r"""
      \b(UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|CANCELLED)\b
    | [Gg]loo\b.*\b(failed|timed\ ?out|error)
    | [Cc]onnection\ (reset|closed|refused|lost|was\ terminated)
    | [Ss]ocket\ closed | [Bb]roken\ pipe | [Hh]eartbeat
    | remote\ process\ exited | network\ error
    | NCCL.*(unhandled\ system\ error|[Tt]imed?\ ?out)
    | tasks?\ (are|is|may\ be)\ unhealthy | [Ss]lice\ health\ check | [Mm]ega[Ss]cale
    | [Bb]arrier.*(failed|timed\ out|process)
    """,
    re.VERBOSE | re.DOTALL,
)

# What JAX raises as another kind than its own where an operation fails as it is called.
_COLLECTIVE = re.compile(r"^\W*[A-Z_]+: .*\b(gloo|nccl)", re.IGNORECASE | re.DOTALL)


def broken_operation(error: BaseException | None) -> tuple[BaseException, bool] | None:
    """What `error` comes from where it may be a lost process, and whether it surely is.

    An error that a program makes by itself as well, such as a TPU core that has halted, is not
    sure: whether another process is gone has to be seen. None where the error is this process's
    own, would come again, or is no operation's.
    """
    while error is not None and not isinstance(error, STOPPED):
        text = str(error)
        if "arrier" in text and "process" in text:  # Orbax's, over jax's coordination service
            return error, True
        if isinstance(error, jax.errors.JaxRuntimeError) or _COLLECTIVE.search(text):
            if _OWN.search(text):
                return None
            return error, bool(_LOST.search(text))
        error = error.__cause__ or error.__context__
    return None
