"""Caption targets written by a language model behind an endpoint, kept by the paper's rule."""
