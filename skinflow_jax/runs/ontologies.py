"""The ontology of a run made the one in use."""

import functools

from skinflow_jax.clinical.ontology import load_ontology, ontology, use
from skinflow_jax.errors import printable
from skinflow_jax.parallel.agreement import check_same, together


def use_named(name: str | None) -> None:
    """Make the ontology of a config the one in use, ours where it names none, in every process.

    A line says so where another one was in use: a config goes before what the caller of a Python
    function has set. Raises InputError as `load_ontology`, ConfigError where processes have
    different ones.
    """
    new = together(functools.partial(load_ontology, name or ""))
    check_same("ontology", new.digest)
    if new.digest != ontology().digest:
        told = name or "the one of the package, as the config names none"
        print(printable(f"ontology in use from here on: {told}"))
    use(new)
