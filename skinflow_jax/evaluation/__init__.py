"""The protocol run over a split, figures with intervals, tables, answers to single images."""
