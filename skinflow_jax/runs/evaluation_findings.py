"""What an evaluation within a run shows in TensorBoard: figures, and a few answers with images."""

import numpy as np

from skinflow_jax.data.contact_sheet import contact_sheet, evenly
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.errors import shortened
from skinflow_jax.evaluation.predictions import Prediction
from skinflow_jax.evaluation.summary import Summary
from skinflow_jax.evaluation.tables import evaluation_markdown
from skinflow_jax.training.sinks import Findings, markdown_table

SHOWN = 8
"""Held-out cases, the same at every evaluation (our choice)."""
_COLUMNS = 4
_CHARACTERS = 2_000


def evaluation_findings(summary: Summary, records: RecordSet) -> Findings:
    """A curve a figure; as a text all with intervals and counts; answers as a text and a sheet.

    Figures of what was not asked are no curves.
    """
    figures = {f.label.removesuffix(" %"): float(f.estimate.value) for f in summary.asked}
    texts, images = {"eval/figures": evaluation_markdown(summary.told)}, {}
    answers = {p.case_id: p for p in (*summary.captions, *summary.diagnoses)}
    numbers = [n for n in evenly(records, SHOWN) if records.case(n).case_id in answers]
    if numbers:
        told = [answers[records.case(number).case_id] for number in numbers]
        rows = [(p.case_id, p.reference, shortened(p.text, _CHARACTERS)) for p in told]
        texts["eval/answers"] = markdown_table(("case", "reference", "answer"), rows)
        sheet = contact_sheet(
            records.select(numbers), columns=_COLUMNS, lines=list(map(_under_the_image, told))
        )
        images["eval/gallery"] = np.asarray(sheet)[None]
    return Findings(figures, texts, images)


def _under_the_image(prediction: Prediction) -> tuple[str, ...]:
    if prediction.task == "caption":
        return (f"caption reward {prediction.caption_reward:.2f}", shortened(prediction.text))
    place = f"in place {prediction.rank}" if prediction.rank else "not named"
    return (prediction.reference, place, f"first: {prediction.first or 'no valid answer'}")
