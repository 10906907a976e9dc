"""LoRA adapters as PEFT keeps them: `adapter_config.json` beside `adapter_model.safetensors`.

PEFT's names are those of PyTorch's modules, one tensor a layer; ours are stacked. What PEFT can do
to a model and we cannot (DoRA, ranks by layer, trained embeddings …) is refused by name.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from skinflow_jax.checkpoints.agreement import together
from skinflow_jax.checkpoints.fingerprint import Fingerprint, fingerprint
from skinflow_jax.checkpoints.hf_export import (
    EXPORT_DTYPES,
    tensor_layout,
    tensor_parts,
    write_tokenizer,
)
from skinflow_jax.checkpoints.hf_folder import ADAPTER_CONFIG as CONFIG
from skinflow_jax.checkpoints.hf_folder import check_tokenizer
from skinflow_jax.checkpoints.hf_import import fill, find
from skinflow_jax.checkpoints.hf_safetensors import (
    read_header,
    read_metadata,
    weights_dtype,
    write_file,
)
from skinflow_jax.checkpoints.hf_tensors import listed, renamed
from skinflow_jax.checkpoints.model_card import Card, adapter_card
from skinflow_jax.checkpoints.named_tensors import named_leaves
from skinflow_jax.checkpoints.names import Slot, canonical_name, hf_slots, nested_name
from skinflow_jax.checkpoints.peft_targets import check_targets
from skinflow_jax.errors import ConfigError, InputError, one_line
from skinflow_jax.json_file import read_json, write_json
from skinflow_jax.models.config import LORA_TARGETS, LoraConfig, VlmConfig
from skinflow_jax.models.lora import with_lora, without_adapters
from skinflow_jax.models.vlm import Vlm, abstract_model
from skinflow_jax.storage.whole_folder import check_vacant, whole_folder
from skinflow_jax.tokenizers import Tokenizer
from skinflow_jax.typed_fields import shown

WEIGHTS = "adapter_model.safetensors"
_WRAPPED = "base_model.model."
# Beside the tensors: the weights that they were trained upon, see `base_fingerprint`.
_UPON = "skinflow_base"

# Read here. Which maps have an adapter the tensors themselves say, and the modules must agree.
_READ = {"peft_type", "r", "lora_alpha", "base_model_name_or_path"}
_READ |= {"target_modules", "exclude_modules"}
_HARMLESS = {
    *("task_type", "auto_mapping", "peft_version", "revision", "inference_mode"),  # notes
    "lora_dropout",  # of training alone, which goes on without
    *("runtime_config", "megatron_core", "qalora_group_size"),  # settings of what is off
}
_NOTHING = (None, False, [], {})
# What must not be used, and other values that are the same as not using it.
_REFUSED: dict[str, tuple] = {
    "bias": ("none",),
    # Other ways to begin change the base's own weights.
    "init_lora_weights": (True, "gaussian", "orthogonal"),
    **dict.fromkeys(
        (
            *("use_dora", "use_rslora", "fan_in_fan_out", "rank_pattern", "alpha_pattern"),
            *("modules_to_save", "layers_to_transform", "layers_pattern", "layer_replication"),
            *("trainable_token_indices", "target_parameters", "lora_bias", "use_qalora"),
            *("use_bdlora", "alora_invocation_tokens", "megatron_config", "loftq_config"),
            *("eva_config", "corda_config", "lora_ga_config", "velora_config"),
            *("monteclora_config", "arrow_config", "kasa_config", "ensure_weight_tying"),
        ),
        (),
    ),
}


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    whole = ("model.safetensors", "model.safetensors.index.json")
    return (folder / CONFIG).is_file() and not any((folder / name).exists() for name in whole)


def stated_base(folder: Path) -> str | None:
    """The model that an adapter says it is for: a folder, or a name on the hub."""
    base = read_json(folder / CONFIG).get("base_model_name_or_path")
    if base is not None and not isinstance(base, str):
        raise InputError(f"{folder / CONFIG}: base_model_name_or_path={shown(base)} is no name")
    return base or None


def load_adapter(base: Vlm, folder: str | Path, *, mesh=None) -> Vlm:
    """`base` with the adapter in `folder`; its arrays are shared.

    On a mesh of several processes all must call. Raises InputError naming the file, field or
    tensor: an adapter of another base, of maps that have none here, or of a kind that is not
    computed. That the base has other weights of the same shapes is known of adapters written here.
    """
    folder = Path(folder)
    if base.config.lora is not None:
        raise ConfigError(f"{folder}: the base has adapters already: export it merged first")

    def read():
        fields, weights = _checked(folder / CONFIG), folder / WEIGHTS
        stored = renamed(read_header(weights), _canonical)
        return fields, stored, read_metadata(weights).get(_UPON)

    fields, stored, upon = together(read)
    # A sum over processes: none may leave it to the others because of what its file says.
    found = base_fingerprint(base) if upon or jax.process_count() > 1 else None

    def load() -> Vlm:
        if upon is not None and upon != found:
            raise InputError(
                f"{folder / WEIGHTS} was trained upon other weights than those of "
                f"{base.config.name}: take the base that it was made for "
                f"({CONFIG} says {shown(fields.get('base_model_name_or_path'))})"
            )
        lora = _lora(fields, stored, folder)
        model = with_lora(base, lora, mesh=mesh)
        slots = adapter_slots(model.config)
        missing, extra = sorted(set(slots) - set(stored)), sorted(set(stored) - set(slots))
        if missing or extra:
            kind, names = ("missing", missing) if missing else ("left over", extra)
            raise InputError(
                f"{folder / WEIGHTS}: {len(names)} tensors {kind} ({listed(names)}): an adapter of "
                "all layers of this base is wanted, alike in each; is it of another one?"
            )
        maps = {name.split(".lora_")[0] for name in stored}
        check_targets(fields, maps, folder / CONFIG)
        fill(model, slots, stored, dtype=np.dtype(np.float32), mesh=mesh, where=folder)
        return model

    return together(load)


def base_fingerprint(base: Vlm) -> str:
    """Of a model's weights as bfloat16, so that an export in either type is the same base.

    All processes that share them must ask.
    """
    sums = {}
    for name, x in named_leaves(base).items():  # one by one: no second model is held
        sums |= fingerprint({name: _bfloat16_bits(x)}).sums
    return Fingerprint(sums, []).of()


@jax.jit
def _bfloat16_bits(x: jax.Array) -> jax.Array:
    """uint16, rounded to even. As whole numbers: some devices take the smallest values for 0."""
    if x.dtype == jnp.bfloat16:
        return lax.bitcast_convert_type(x, jnp.uint16)
    bits = lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(jnp.uint16)


def save_adapter(
    model: Vlm,
    path: str | Path,
    *,
    base: str | None,
    base_made_by: str | None = None,
    dtype: str | None = None,
    tokenizer: Tokenizer | None = None,
    card: Card | None = None,
) -> None:
    """Write the adapters of `model` as a folder for PEFT, which appears when it is complete.

    Args:
      model: with adapters.
      path: the folder to make; it may exist if it is empty.
      base: the folder or hub name of the model under the adapters, if there is one.
      base_made_by: the command that makes a FOLDER of it, where it is none that PyTorch loads.
      dtype: of the tensors, as of `save_pretrained`; None for the parameters' own, float32.
      tokenizer: the one the model was trained with; None writes none.
      card: facts for the model card.

    Raises InputError: no adapters, or dynamic maps, which are trained beside them; `path` is taken;
    the tokenizer is not the model's.
    """
    config, folder = model.config, Path(path)
    if config.lora is None:
        raise InputError("the model has no LoRA adapters: export it without --adapter")
    if config.vision.dve is not None:
        raise InputError(
            "the model has dynamic maps, which are trained beside its adapters and have no place "
            "in a PEFT folder: export it merged, without --adapter"
        )
    check_vacant(folder)
    if tokenizer is not None:
        check_tokenizer(tokenizer, config, folder)
    slots = adapter_slots(config)
    kept = None if dtype is None else weights_dtype(dtype, EXPORT_DTYPES)
    layout = {name: tensor_layout(model, name, slot, kept) for name, slot in slots.items()}
    with whole_folder(folder) as unfinished:
        parts = (
            part
            for name, slot in slots.items()
            for part in tensor_parts(model, name, slot, layout[name][0])
        )
        named = {_peft(name): kept for name, kept in layout.items()}
        upon = {_UPON: base_fingerprint(without_adapters(model))}
        write_file(unfinished / WEIGHTS, named, parts, upon)
        write_json(unfinished / CONFIG, adapter_config(config, base))
        if tokenizer is not None:
            write_tokenizer(tokenizer, unfinished)
        loaded = base if base and base_made_by is None else "FOLDER"
        described = adapter_card(model, card or Card(), loaded, base_made_by)
        (unfinished / "README.md").write_text(described, encoding="utf-8")


def adapter_config(config: VlmConfig, base: str | None) -> dict[str, Any]:
    """The fields of adapter_config.json."""
    modules = {
        name.rsplit(".", 2)[0].split(".", 2)[2] for name in map(_peft, adapter_slots(config))
    }
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.lora.rank,
        "lora_alpha": config.lora.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
        "target_modules": sorted(modules),
    }


def adapter_slots(config: VlmConfig) -> dict[str, Slot]:
    """Every adapter tensor by the hub's name of its map and `lora_A.weight` or `lora_B.weight`."""
    model, found = abstract_model(config), {}
    for name, slot in hf_slots(config).items():
        *home, kind = slot.path
        if kind != "kernel" or find(model, home).lora_a is None:
            continue
        linear = name.removesuffix("weight")
        a, b = (*home, "lora_a"), (*home, "lora_b")
        # The rank comes last in our first factor and first in the second.
        found[f"{linear}lora_A.weight"] = Slot(a, slot.index, transpose=True, joins_heads=True)
        found[f"{linear}lora_B.weight"] = Slot(b, slot.index, transpose=True)
    return found


def _peft(name: str) -> str:
    return _WRAPPED + nested_name(name)


def _canonical(name: str) -> str:
    return canonical_name(name.removeprefix(_WRAPPED).replace(".default.weight", ".weight"))


def _checked(path: Path) -> dict[str, Any]:
    """The config's fields, all of them known. Raises InputError."""
    fields = read_json(path)
    if fields.get("peft_type") != "LORA":
        raise InputError(f"{path}: peft_type={shown(fields.get('peft_type'))}: only LORA is read")
    for name, value in fields.items():
        if name in _READ or name in _HARMLESS:
            continue
        if name not in _REFUSED:
            raise InputError(f"{path}: {shown(name)} is unknown here: merge the adapter with PEFT")
        allowed = (*_NOTHING, *_REFUSED[name])
        if not any(value == other and type(value) is type(other) for other in allowed):
            raise InputError(
                f"{path}: {name}={shown(value)} is not computed here: merge the adapter with PEFT "
                "(merge_and_unload) and import the whole model"
            )
    return fields


def _lora(fields: Mapping[str, Any], stored: Iterable[str], folder: Path) -> LoraConfig:
    """Rank and alpha as stated, and where the tensors say the adapters are."""
    targets, joined, halves = set(), False, {"language": False, "vision": False}
    for name in stored:
        linear = name.split(".lora_")[0].rsplit(".", 1)[-1]
        vision = name.startswith("visual.")
        halves["vision" if vision else "language"] = True
        if vision and linear == "qkv":
            joined = True
            continue
        target = "o" if vision and linear == "proj" else linear.removesuffix("_proj")
        if target not in LORA_TARGETS or ".lora_" not in name:
            raise InputError(
                f"{folder / WEIGHTS}: tensor {listed([name])} is of no map that has an adapter "
                f"here ({', '.join(LORA_TARGETS)}): merge the adapter with PEFT"
            )
        targets.add(target)
    if joined and not targets & set("qkv"):
        targets |= set("qkv")
    try:
        return LoraConfig(
            rank=fields.get("r"),
            alpha=fields.get("lora_alpha"),
            targets=tuple(target for target in LORA_TARGETS if target in targets),
            **halves,
        )
    except ConfigError as error:
        raise InputError(f"{folder / CONFIG}: r or lora_alpha: {one_line(error)}") from error
