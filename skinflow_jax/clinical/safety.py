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
    return bool(why_critical(guess, truth))


def why_critical(guess: Disease, truth: Disease) -> str:
    """The first rule by which `guess` for `truth` is critical, in words; "" where none makes it so.

    Both are told.
    """
    if (truth.nature, guess.nature) in CROSSING:
        harm = "left" if truth.nature in MALIGNANT else "operated on with margins"
        taken = f"taken for {guess.name}, which is {_nature(guess)}"
        return f"{truth.name} is {_nature(truth)}; {taken}, it would be {harm}"
    if _operated(guess, truth):
        step = guess.first_step
        return f"the first step for {guess.name} is {step}, which {truth.name} does not need"
    return _infection_harm(guess, truth) or _urgency_harm(guess, truth)


def _nature(disease: Disease) -> str:
    return "no tumour" if disease.nature == "n/a" else disease.nature


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


_SEEN = {"routine": "months", "soon": "weeks", "urgent": "days", "emergency": "hours"}


def _urgency_harm(guess: Disease, truth: Disease) -> str:
    if not urgency_lost(guess, truth):
        return ""
    needed, told = _SEEN[truth.urgency], _SEEN[guess.urgency]
    return f"{truth.name} must be seen within {needed}; {guess.name} may wait for {told}"


def _infection_harm(guess: Disease, truth: Disease) -> str:
    """Across infection, where the guess's treatment harms or contagion is overlooked."""
    treated, needed = guess.first_step, truth.first_step
    if truth.infection != "none" and needed in ANTI_INFECTIVE and treated in SUPPRESSING:
        return (
            f"{truth.name} is an infection and needs {needed} treatment; the first step for "
            f"{guess.name}, {treated}, feeds it"
        )
    # Pyoderma gangrenosum taken for an infection: an antibiotic leaves it, a scalpel spreads it.
    if needed == "immunosuppression" and urgent(truth) and guess.infection != "none":
        return f"{truth.name} needs immunosuppression at once; {guess.name} is an infection"
    if truth.contagious == "matters" != guess.contagious:
        return f"{truth.name} is contagious and others must be protected; {guess.name} is not"
    if _infection_left(guess, truth):
        return (
            f"{truth.name} is an infection and needs {needed} treatment within weeks; "
            f"{guess.name} may wait for months and brings none"
        )
    return ""


def _infection_left(guess: Disease, truth: Disease) -> bool:
    """An infection that a drug must stop within weeks, left for months without one."""
    return (
        truth.infection in SPREADING
        and truth.first_step in ANTI_INFECTIVE
        and guess.first_step not in ANTI_INFECTIVE
        and truth.urgency != "routine" == guess.urgency
    )
