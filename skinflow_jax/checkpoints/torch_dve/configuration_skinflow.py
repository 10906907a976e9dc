"""Configuration of a Qwen2.5-VL with a dynamic vision encoder (DVE)."""

from transformers import Qwen2_5_VLConfig


class SkinflowConfig(Qwen2_5_VLConfig):
    """Qwen2.5-VL's fields and `dve`: blocks, groups, reduction, linears, gates, temperature."""

    model_type = "skinflow_qwen2_5_vl"

    dve: dict | None = None
