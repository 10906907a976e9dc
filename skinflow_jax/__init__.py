"""SkinFlow in JAX."""
