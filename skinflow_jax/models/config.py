"""Sizes of the vision-language model: the published Qwen2.5-VL ones and `tiny` for a laptop.

Source of the published figures: the `config.json` of Qwen/Qwen2.5-VL-{3B,7B,32B,72B}-Instruct.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated

from skinflow_jax.errors import ConfigError
from skinflow_jax.typed_fields import Finite, OneOf, Several, Whole, check_fields

Size = Annotated[int, Whole(1, 10_000_000)]
Index = Annotated[int, Whole(0, 10_000_000)]
Small = Annotated[float, Finite(above=0, most=1)]
LINEARS = ("gate", "up", "down")
GATES = ("input", "output", "group")


@dataclass(frozen=True)
class DveConfig:
    """The dynamic vision encoder: which linear maps of the tower depend on the image, and how.

    `blocks`: indices in the tower, None for the full-attention blocks (SkinFlow's choice, read as
    its 1-based layers 8, 16, 24, 32); `groups`: frequency groups K (640 = hidden size / 2 in its
    implementation section, 64 in its example, 4 in its co-author's code); `reduction`: a gate's
    hidden layer has max(inputs // reduction, 16) units; `linears`: the maps of a block's
    feed-forward part; `gates`: those that act, the others are 1; `temperature`: of their sigmoid.
    """

    blocks: Annotated[tuple[Index, ...], Several(distinct=False)] | None = None
    groups: Size = 640
    reduction: Size = 16
    linears: Annotated[tuple[Annotated[str, OneOf(LINEARS)], ...], Several()] = LINEARS
    gates: Annotated[tuple[Annotated[str, OneOf(GATES)], ...], Several()] = GATES
    temperature: Annotated[float, Finite(1e-3, 1e3)] = 1.0

    def __post_init__(self):
        check_fields(self, "dve.")


LORA_TARGETS = ("q", "k", "v", "o", "gate", "up", "down")
TRAINABLE = ("all", "vision", "language")


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters (Hu et al. 2021): a frozen map's output gains (x A) B * alpha / rank.

    `targets`: the maps of a layer that get one; in the tower q, k and v are one map, adapted if
    any of them is named. `language`, `vision`: which halves have adapters. Patch embedding,
    merger, token embedding and head have none.
    """

    rank: Size = 16
    alpha: Annotated[float, Finite(above=0, most=1e6)] = 32.0
    targets: Annotated[tuple[Annotated[str, OneOf(LORA_TARGETS)], ...], Several()] = LORA_TARGETS
    language: bool = True
    vision: bool = False

    def __post_init__(self):
        check_fields(self, "lora.")
        if not (self.language or self.vision):
            raise ConfigError("lora.language and lora.vision are both False: set one, or drop lora")


@dataclass(frozen=True)
class VisionConfig:
    """The vision tower. Lengths in pixels or patches as named; `window_size` is in pixels."""

    depth: Size = 32
    hidden_size: Size = 1280
    intermediate_size: Size = 3420
    num_heads: Size = 16
    in_channels: Size = 3
    patch_size: Size = 14
    temporal_patch_size: Size = 2
    merge_size: Size = 2
    window_size: Size = 112
    full_attention_blocks: tuple[Index, ...] = (7, 15, 23, 31)
    out_hidden_size: Size = 3584
    norm_eps: Small = 1e-6
    rope_theta: Annotated[float, Finite(above=0)] = 10_000.0
    dve: DveConfig | None = None

    def __post_init__(self):
        check_fields(self, "vision.")
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"vision.hidden_size {self.hidden_size} does not divide into "
                f"vision.num_heads {self.num_heads} heads"
            )
        if self.head_dim % 4:
            raise ConfigError(
                f"vision head size {self.head_dim} must be a multiple of 4: 2-D rope rotates "
                "a half for the row and a half for the column"
            )
        if not self.window_units:
            raise ConfigError(
                f"vision.window_size {self.window_size} is smaller than a merged unit, "
                f"vision.patch_size x vision.merge_size = {self.patch_size * self.merge_size}"
            )
        outside = [i for i in self.full_attention_blocks if not 0 <= i < self.depth]
        if outside:
            raise ConfigError(
                f"vision.full_attention_blocks {outside} lie outside the tower of {self.depth}"
            )
        if self.dve is not None:
            self._check_dve(self.dve)

    def _check_dve(self, dve: DveConfig):
        blocks = self.full_attention_blocks if dve.blocks is None else dve.blocks
        object.__setattr__(
            self, "dve", dataclasses.replace(dve, blocks=tuple(sorted(set(blocks))) or None)
        )
        outside = [i for i in self.dynamic_blocks if not 0 <= i < self.depth]
        if outside:
            raise ConfigError(
                f"dve.blocks {outside} lie outside the tower of {self.depth} blocks: "
                f"choose from 0 to {self.depth - 1}"
            )
        if not self.dynamic_blocks:
            raise ConfigError("dve.blocks is not set and the tower has no full-attention blocks")
        sides = self.hidden_size, self.intermediate_size
        coefficients = min(o * (i // 2 + 1) for o, i in (sides, sides[::-1]))
        if dve.groups > coefficients:
            raise ConfigError(
                f"dve.groups={dve.groups} exceeds the {coefficients:,} frequency coefficients of "
                f"a {sides[0]} x {sides[1]} linear map: choose at most that many"
            )

    @property
    def dynamic_blocks(self) -> tuple[int, ...]:
        """Indices of the blocks with dynamic linears, in order; none without DVE."""
        return () if self.dve is None else self.dve.blocks or ()

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.hidden_size // self.num_heads

    @property
    def patch_dim(self) -> int:
        """Size of one flattened patch: channels x frames x rows x columns (1,176)."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2

    @property
    def patch_pixels(self) -> int:
        """Numbers of one frame of a patch: channels x rows x columns (588)."""
        return self.in_channels * self.patch_size**2

    @property
    def merge_unit(self) -> int:
        """Patches merged into one image token (4)."""
        return self.merge_size**2

    @property
    def window_units(self) -> int:
        """Side of an attention window in merged units (4)."""
        return self.window_size // (self.patch_size * self.merge_size)

    @property
    def window_patches(self) -> int:
        """Patches of a whole attention window (64)."""
        return self.window_units**2 * self.merge_unit


@dataclass(frozen=True)
class TextConfig:
    """The language model."""

    vocab_size: Size = 152_064
    hidden_size: Size = 3584
    intermediate_size: Size = 18_944
    num_layers: Size = 28
    num_heads: Size = 28
    num_kv_heads: Size = 4
    norm_eps: Small = 1e-6
    rope_theta: Annotated[float, Finite(above=0)] = 1_000_000.0
    mrope_section: tuple[Index, Index, Index] = (16, 24, 24)
    max_position_embeddings: Size = 128_000
    tie_word_embeddings: bool = False

    def __post_init__(self):
        check_fields(self, "text.")
        if self.hidden_size % self.num_heads or self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"text.hidden_size {self.hidden_size}, text.num_heads {self.num_heads} and "
                f"text.num_kv_heads {self.num_kv_heads} must divide one another in that order"
            )
        if sum(self.mrope_section) != self.head_dim // 2:
            raise ConfigError(
                f"text.mrope_section {self.mrope_section} must sum to half the head size "
                f"{self.head_dim}"
            )

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.hidden_size // self.num_heads

    @property
    def queries_per_kv(self) -> int:
        """Query heads that share a key and value head."""
        return self.num_heads // self.num_kv_heads


@dataclass(frozen=True)
class VlmConfig:
    """A whole model: tower, language model and the ids that tie them to a tokenizer.

    `lora`: its adapters, if it has any; `trainable`: which half is trained where it has none
    (see `models.trainable`).
    """

    name: str = "qwen2_5_vl_7b"
    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    image_token_id: Index = 151_655
    video_token_id: Index = 151_656
    vision_start_token_id: Index = 151_652
    vision_end_token_id: Index = 151_653
    eos_token_ids: tuple[Index, ...] = (151_645, 151_643)
    pad_token_id: Index = 151_643
    initializer_range: Annotated[float, Finite(0, 1e3)] = 0.02
    lora: LoraConfig | None = None
    trainable: Annotated[str, OneOf(TRAINABLE)] = "all"

    def __post_init__(self):
        check_fields(self, "model.")
        check_trainable(self.trainable, self.lora)
        if self.vision.out_hidden_size != self.text.hidden_size:
            raise ConfigError(
                f"vision.out_hidden_size {self.vision.out_hidden_size} must equal "
                f"text.hidden_size {self.text.hidden_size}"
            )

    def with_tokenizer(self, tokenizer) -> "VlmConfig":
        """The same sizes over a tokenizer's vocabulary and special ids (see `tokenizer.py`)."""
        return dataclasses.replace(
            self,
            text=dataclasses.replace(self.text, vocab_size=tokenizer.vocab_size),
            image_token_id=tokenizer.image_token_id,
            video_token_id=tokenizer.video_token_id,
            vision_start_token_id=tokenizer.vision_start_id,
            vision_end_token_id=tokenizer.vision_end_id,
            eos_token_ids=tuple(tokenizer.eos_ids),
            pad_token_id=tokenizer.pad_id,
        )


def check_trainable(trainable: str, lora: LoraConfig | None) -> None:
    """Raise ConfigError where adapters make the choice already."""
    if lora is not None and trainable != "all":
        raise ConfigError(
            f"model.trainable={trainable!r} and model.lora exclude each other: with adapters only "
            "they and the dynamic maps are trained; choose by lora.vision and lora.language"
        )


def _qwen(name, *, hidden, intermediate, layers, heads, kv_heads, vision_intermediate=3420, **text):
    return VlmConfig(
        name=name,
        vision=VisionConfig(out_hidden_size=hidden, intermediate_size=vision_intermediate),
        text=TextConfig(
            hidden_size=hidden,
            intermediate_size=intermediate,
            num_layers=layers,
            num_heads=heads,
            num_kv_heads=kv_heads,
            **text,
        ),
    )


_TINY = VlmConfig(
    name="tiny",
    vision=VisionConfig(
        depth=4,
        hidden_size=96,
        intermediate_size=256,
        num_heads=4,
        full_attention_blocks=(1, 3),
        out_hidden_size=128,
    ),
    text=TextConfig(
        vocab_size=1024,
        hidden_size=128,
        intermediate_size=352,
        num_layers=3,
        num_heads=4,
        num_kv_heads=2,
        # Sixteen frequencies over short prompts: the published theta would leave all but the
        # first few of them still.
        rope_theta=500.0,
        mrope_section=(4, 6, 6),
        max_position_embeddings=4096,
    ),
    image_token_id=5,
    video_token_id=6,
    vision_start_token_id=3,
    vision_end_token_id=4,
    eos_token_ids=(2, 0),
    pad_token_id=0,
    # The published 0.02 suits widths in the thousands. At 128 it leaves every branch so quiet
    # beside the residual stream that supervised training barely starts to look at the image.
    initializer_range=0.08,
)

SIZES: dict[str, VlmConfig] = {
    "tiny": _TINY,
    "qwen2_5_vl_3b": _qwen(
        "qwen2_5_vl_3b",
        hidden=2048,
        intermediate=11_008,
        layers=36,
        heads=16,
        kv_heads=2,
        vocab_size=151_936,
        tie_word_embeddings=True,
    ),
    "qwen2_5_vl_7b": VlmConfig(),
    "qwen2_5_vl_32b": _qwen(
        "qwen2_5_vl_32b",
        hidden=5120,
        intermediate=27_648,
        layers=64,
        heads=40,
        kv_heads=8,
        vision_intermediate=3456,
    ),
    "qwen2_5_vl_72b": _qwen(
        "qwen2_5_vl_72b",
        hidden=8192,
        intermediate=29_568,
        layers=80,
        heads=64,
        kv_heads=8,
        vision_intermediate=3456,
    ),
}


def model_config(size: str) -> VlmConfig:
    """The named size. Raises ConfigError listing the sizes there are."""
    if size not in SIZES:
        raise ConfigError(f"unknown model size {size!r}: choose one of {', '.join(SIZES)}")
    return SIZES[size]
