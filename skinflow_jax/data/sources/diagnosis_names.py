"""An owner's label as a name of the ontology, where it knows the disease."""

from skinflow_jax.clinical.names import find


def known_name(label: str) -> str:
    """The canonical name of what `label` names, "" where the ontology does not know it."""
    found = find(label)
    return found.name if found else ""


def canonical_name(label: str) -> str:
    """The name in the ontology, or else the label as its owner writes it, spaces as one."""
    return known_name(label) or " ".join(label.split())
