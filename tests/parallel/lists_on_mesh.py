"""Sampled lists of diagnoses on one device and on a mesh of 2 x 2 x 2; for test_answers.py.

Run as `python lists_on_mesh.py OUT`, with eight CPU devices and tests/ on its path.
"""

import json
import sys
from pathlib import Path

from disease_tokenizer import Diseases
from random_model import SHALLOW, spread_model

from skinflow_jax.config import DataConfig
from skinflow_jax.data.pipeline import evaluation_batches
from skinflow_jax.evaluation.protocol import predict
from skinflow_jax.evaluation.voting import Lists
from skinflow_jax.models.vlm import DEFAULT_COMPUTE
from skinflow_jax.parallel import MeshConfig, make_mesh, place_module, use_mesh
from skinflow_jax.runs.cases import buckets, prepare_records

MESH = make_mesh(MeshConfig(data=2, fsdp=2, tensor=2))


def main(out: Path) -> None:
    data = DataConfig(
        count=2, max_pixels=84 * 84, options={"image_size": 84}, windows=(1,), prompt_lengths=(16,)
    )
    records = prepare_records(data, "heldout", 6, out / "records")
    found = []
    for mesh, batch_size in ((None, 2), (MESH, 4)):
        model = spread_model(SHALLOW)
        with use_mesh(mesh):
            shape = {"batch_size": batch_size, "buckets": buckets(data, records)}
            predictions = predict(
                model if mesh is None else place_module(model, mesh),
                evaluation_batches(records, Diseases(), SHALLOW, task="diagnosis", **shape),
                Diseases(),
                max_tokens=6,
                compute=DEFAULT_COMPUTE,
                mesh=mesh,
                lists=Lists(4, seed=1),
            )
        found.append([[p.case_id, p.text, p.confidence] for p in predictions])
    (out / "lists.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
