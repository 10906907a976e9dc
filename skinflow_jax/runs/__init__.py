"""A config put together into something that happens: train, evaluate, demo, ablation."""
