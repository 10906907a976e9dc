"""TensorBoard events by tensorboard's own writer and protos: no TensorFlow, no tensorboardX."""

import io
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.text.metadata import create_summary_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter

RGB = 3  # Summary.Image.colorspace


class EventLog:
    """One event file in `folder`; TensorBoard reads all the event files of a folder as one run.

    `resume_step`: the step a resumed run starts from; readers then drop the later events of
    earlier files, as they do after a crash of TensorFlow.
    """

    def __init__(self, folder: Path, *, resume_step: int | None = None):
        first = not any(Path(folder).glob("*tfevents*"))
        self._writer = EventFileWriter(str(folder), flush_secs=10)
        # TensorBoard takes a session's start for a restart only if it has seen one before.
        if first or resume_step is not None:
            start = SessionLog(status=SessionLog.START)
            self._add(Event(step=(resume_step or 0) + 1, session_log=start))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve; NaN and infinities are kept, TensorBoard marks them."""
        self._summary(step, [Summary.Value(tag=t, simple_value=v) for t, v in values.items()])

    def images(self, step: int, tag: str, images: np.ndarray) -> None:
        """`images`: uint8 `[N, H, W, 3]`, written as PNG under `tag/0` … `tag/N-1`."""
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise ValueError(
                f"images for {tag!r} must be uint8 [N, H, W, 3], not {images.dtype} {images.shape}"
            )
        _, height, width, _ = images.shape
        values = []
        for index, pixels in enumerate(images):
            image = Summary.Image(
                height=height, width=width, colorspace=RGB, encoded_image_string=_png(pixels)
            )
            values.append(Summary.Value(tag=f"{tag}/{index}", image=image))
        self._summary(step, values)

    def text(self, step: int, tag: str, markdown: str) -> None:
        """A text that TensorBoard renders as Markdown."""
        tensor = TensorProto(
            dtype=DT_STRING,
            tensor_shape=TensorShapeProto(),
            string_val=[markdown.encode("utf-8", errors="replace")],
        )
        metadata = create_summary_metadata(display_name=tag, description="")
        self._summary(step, [Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])

    def flush(self) -> None:
        """Write what is pending."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is pending and close the file."""
        self._writer.close()

    def _summary(self, step: int, values: list[Summary.Value]) -> None:
        self._add(Event(step=step, summary=Summary(value=values)))

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.add_event(event)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
