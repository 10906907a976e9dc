"""What a command's arguments set for its whole process, before it runs."""


def prepare(arguments) -> None:
    """Keep compiled programs where the arguments say, and know the diseases that they name.

    Says where records were made with others. Raises InputError as `load_ontology` and
    `read_manifest`.
    """
    if "compilation_cache" in arguments:
        from skinflow_jax.parallel.compilation_cache import use_compilation_cache

        use_compilation_cache(arguments.compilation_cache)
    if "ontology" not in arguments:  # the config names it
        return
    if arguments.ontology is not None:
        from skinflow_jax.clinical.ontology import load_ontology, use

        use(load_ontology(arguments.ontology))
    if "records" in arguments and arguments.name != "report":  # which finds its own
        from skinflow_jax.data.manifest import read_manifest

        if line := read_manifest(arguments.records).other_ontology():
            print(line)
