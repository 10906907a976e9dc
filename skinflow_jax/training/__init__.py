"""The loop that `sft` and `grpo` share: state, optimizer, progress, what a run writes."""
