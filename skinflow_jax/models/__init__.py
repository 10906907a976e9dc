"""The model: arrays in, arrays out; knows nothing of files, data or training."""
