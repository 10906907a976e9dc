"""An OpenAI-compatible endpoint, asked with patience, within a budget, its answers kept."""
