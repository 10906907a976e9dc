"""Which confusion of two diseases is critical, by nature, infection and urgency.

Critical is what harms by the first step for the guess, or delays what cannot wait. The rules are
our choice, written so that a clinician can check them; docs/safety.md gives them as tables.
"""

from skinflow_jax.clinical.ontology_disease import URGENCIES, Disease

MALIGNANT = frozenset({"malignant", "in situ"})
"""Natures that count as a malignancy in the missed-malignancy rate: premalignant does not."""

NO_TUMOUR_TO_FEAR = frozenset({"benign", "n/a"})

CROSSING = frozenset(
    {("malignant", harmless) for harmless in NO_TUMOUR_TO_FEAR}
    | {("in situ", harmless) for harmless in NO_TUMOUR_TO_FEAR}
    | {(harmless, "malignant") for harmless in NO_TUMOUR_TO_FEAR}
)
"""(nature of the truth, nature of the guess) that is critical.

A cancer, invasive or in situ, taken for what needs nothing is left; what needs nothing taken for an
invasive cancer is operated on with margins. In situ, premalignant and uncertain lesions taken for
each other or for cancer are biopsied or treated alike, so that only the urgency axis can make such
a confusion critical.
"""

OPERATING = frozenset({"cancer surgery", "oncology"})
"""First steps that harm where nothing is to be feared, whatever the nature of the guess."""

ANTI_INFECTIVE = frozenset({"antibacterial", "antifungal", "antiviral", "antiparasitic"})
SUPPRESSING = frozenset({"anti-inflammatory", "immunosuppression"})
"""First steps that feed an infection which needs one of `ANTI_INFECTIVE`."""

SPREADING = frozenset({"bacterial", "fungal", "parasitic"})
"""Infections that go on until a drug stops them, where they cannot wait for months. What is viral
and not urgent passes by itself, and an infestation stays in the skin."""


def critical(guess: Disease, truth: Disease) -> bool:
    """Whether acting on `guess` where `truth` is right is critical; both are told."""
    return (
        (truth.nature, guess.nature) in CROSSING
        or _operated(guess, truth)
        or _infection_harmed(guess, truth)
        or urgency_lost(guess, truth)
    )


def _operated(guess: Disease, truth: Disease) -> bool:
    """Where nothing is to be feared, and the truth is not treated so itself."""
    return (
        truth.nature in NO_TUMOUR_TO_FEAR
        and guess.first_step in OPERATING
        and truth.first_step not in OPERATING
    )


def urgency_lost(guess: Disease, truth: Disease) -> bool:
    """An emergency taken for anything less, or what is urgent for what can wait weeks."""
    return urgent(truth) and URGENCIES.index(guess.urgency) < URGENCIES.index(truth.urgency)


def urgent(disease: Disease) -> bool:
    """Whether days or hours matter."""
    return disease.urgency in ("urgent", "emergency")


def _infection_harmed(guess: Disease, truth: Disease) -> bool:
    """Across infection, where the guess's treatment harms or contagion is overlooked."""
    suppressed = (
        truth.infection != "none"
        and truth.first_step in ANTI_INFECTIVE
        and guess.first_step in SUPPRESSING
    )
    # Pyoderma gangrenosum taken for an infection: an antibiotic leaves it, a scalpel spreads it.
    unsuppressed = (
        truth.first_step == "immunosuppression" and urgent(truth) and guess.infection != "none"
    )
    overlooked = truth.contagious == "matters" != guess.contagious
    return suppressed or unsuppressed or overlooked or _infection_left(guess, truth)


def _infection_left(guess: Disease, truth: Disease) -> bool:
    """An infection that a drug must stop within weeks, left for months without one."""
    return (
        truth.infection in SPREADING
        and truth.first_step in ANTI_INFECTIVE
        and guess.first_step not in ANTI_INFECTIVE
        and truth.urgency != "routine" == guess.urgency
    )
