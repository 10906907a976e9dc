"""`skinflow report`: evaluations and what lies around them, put together into one page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skinflow_jax.checkpoints.run_state import read_facts
from skinflow_jax.clinical import CLINICAL, ontology
from skinflow_jax.data.manifest import FILE as MANIFEST
from skinflow_jax.data.record_set import RecordSet
from skinflow_jax.errors import InputError, RunError, printable, shortened
from skinflow_jax.evaluation.report.charts import check_installed
from skinflow_jax.evaluation.report.evaluations import Evaluation, Joined, read_evaluations
from skinflow_jax.evaluation.report.page import Extras, Made, page
from skinflow_jax.evaluation.report.pictures import MOST_BYTES, Picture, pictures
from skinflow_jax.runs.workdir import CHECKPOINTS, EVAL, RECORDS
from skinflow_jax.storage.paths import reaching

REPORT = "report.html"
_FEW_UP = 4
"""Folders above an evaluation in which its records are looked for."""


def write_report(
    folders: Sequence[Path],
    out: Path | None = None,
    images: bool = False,
    records: Path | None = None,
) -> Path:
    """Write the page of one to three evaluations, by default beside the last one's predictions.

    Prints what has to be said, and returns its path. `images`: with the images of the cases, drawn
    anew; `records`: the folder that has them, by default found near the evaluation. Raises
    InputError as `read_evaluations`, where pygal is not installed, or no records are found.
    """
    check_installed()
    joined = read_evaluations(folders)
    found = _records(joined, records)
    if images and found is None:
        raise InputError(
            f"{folders[0]}: no records of its cases lie near it, which hold the images: "
            "name them by --records=FOLDER"
        )
    shown, notes = _pictures(joined, found) if images else ({}, [])
    extras = Extras(
        pictures=shown,
        with_images=images,
        data=_described(found),
        notes=[*_of_ontology(joined), *notes],
        made=[_made(each, found) for each in joined.evaluations],
        schema=found.schema if found else CLINICAL,
    )
    out = out or folders[-1] / REPORT
    with reaching(out, RunError):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page(joined, extras), encoding="utf-8")
    for line in (*joined.notes, *extras.notes, f"written: {out}"):
        print(printable(line))
    return out


def _records(joined: Joined, named: Path | None) -> RecordSet | None:
    """The records that hold most of the cases: of the named folder, or of one near the evaluation.

    Raises InputError where the named folder has none.
    """
    wanted = {p.case_id for p in joined.evaluations[0].predictions}
    near = joined.evaluations[0].folder.absolute().parents[:_FEW_UP]
    places = [named] if named else [folder / RECORDS for folder in near]
    folders = [f for place in places for f in (place, *_inside(place)) if (f / MANIFEST).is_file()]
    best, most = None, 0
    for folder in folders:
        try:
            found = RecordSet(folder)
            hits = sum(found.case(i).case_id in wanted for i in range(len(found)))
        except InputError:
            if named:
                raise
            continue
        if hits > most:
            best, most = found, hits
    if named and best is None:
        raise InputError(f"{named}: holds no records of the evaluated cases: name others")
    return best


def _inside(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def _pictures(joined: Joined, records: RecordSet) -> tuple[dict[str, list[Picture]], list[str]]:
    """The images by case id, and a line where some case has none."""
    wanted = dict.fromkeys(p.case_id for p in joined.evaluations[0].predictions)
    at = {records.case(i).case_id: i for i in range(len(records))}
    most, shown = MOST_BYTES // len(wanted), {}
    for case_id in wanted:
        if case_id in at:
            shown[case_id] = pictures(records[at[case_id]].images, most)
    gone = [case_id for case_id in wanted if case_id not in shown]
    if not gone:
        return shown, []
    return shown, [
        f"{len(gone):,} of {len(wanted):,} cases have no image in {records.folder.name}; "
        f"the first: {shortened(gone[0])}."
    ]


def _described(records: RecordSet | None) -> str:
    if records is None:
        return ""
    manifest = records.manifest
    if manifest.source == "procedural":
        return "Procedurally drawn, synthetic lesions; no photograph of a patient."
    return f"Data: {manifest.source}." + (f" {manifest.note}." if manifest.note else "")


def _of_ontology(joined: Joined) -> list[str]:
    """Where the sentences of safety go by another ontology than the evaluation did."""
    other = [
        each.name
        for each in joined.evaluations
        if {p.ontology for p in each.predictions} - {None, ontology().digest}
    ]
    if not other:
        return []
    return [
        f"{', '.join(other)}: evaluated by another ontology than the one in use, by which reasons "
        "are told; add --ontology=FILE, or evaluate again."
    ]


def _made(evaluation: Evaluation, records: RecordSet | None) -> Made:
    facts = _run_facts(evaluation.folder)
    digests = sorted({p.ontology for p in evaluation.predictions if p.ontology})
    rows = {
        "predictions": str(evaluation.folder / "predictions.jsonl"),
        "ontology": ", ".join(digests) or "not told",
        "code that trained": str(facts.get("code", "")),
        "data of training": str(facts.get("data", "")),
        "started from": str((facts.get("origin") or {}).get("folder") or ""),
        "records": f"{records.manifest.source}, digest {records.digest}" if records else "",
        "pixels of an image": _pixels(records),
    }
    config = facts.get("config")
    text = json.dumps(config, indent=1, sort_keys=True) if config else ""
    return Made(evaluation.name, [(k, v) for k, v in rows.items() if v], text)


def _pixels(records: RecordSet | None) -> str:
    identity = records.manifest.identity if records else {}
    if not {"min_pixels", "max_pixels"} <= identity.keys():
        return ""
    return f"{identity['min_pixels']:,} to {identity['max_pixels']:,}"


def _run_facts(folder: Path) -> Mapping[str, Any]:
    """Of the run whose eval/STEP this is; empty where it is none, or its checkpoints are gone."""
    run = folder.absolute().parent.parent
    if folder.absolute().parent.name != EVAL or not (run / CHECKPOINTS).is_dir():
        return {}
    try:
        return read_facts(run / CHECKPOINTS)
    except (InputError, OSError):
        return {}
