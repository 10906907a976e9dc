"""What a command's arguments set for its whole process, before it runs."""


def prepare(arguments) -> None:
    """Keep compiled programs where the arguments say, and know the diseases that they name.

    Raises InputError as `load_ontology`.
    """
    if "compilation_cache" in arguments:
        from skinflow_jax.parallel.compilation_cache import use_compilation_cache

        use_compilation_cache(arguments.compilation_cache)
    if getattr(arguments, "ontology", None) is not None:  # of a command without a config
        from skinflow_jax.clinical.ontology import load_ontology, use

        use(load_ontology(arguments.ontology))
