"""PyTorch files that an exported DVE model carries: copied as they are, imported nowhere here."""
