"""Files on disk to batches: sources, records, images, conversations, the pipeline."""
