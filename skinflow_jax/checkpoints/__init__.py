"""Models and runs on disk: Hugging Face folders in and out, the state of a run."""
