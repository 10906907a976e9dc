"""Config files: read from Python or JSON, the shipped ones found by name."""
