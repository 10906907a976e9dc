"""Qwen2.5-VL whose vision tower has linear maps computed per image, in PyTorch.

FDLinear scales a map's input channels, its output channels and groups of frequencies of its weight
by gates that a small network reads off the mean of the map's input over the tokens of one image.
Whatever the model's type, gates and weight are computed in float32 from float32 parameters.
Written by skinflow_jax, which trained the weights; research software, not a medical device.
"""

import functools

import numpy as np
import torch
from torch import nn
from torch.nn.functional import relu, rms_norm
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
    Qwen2_5_VLVisionBlock,
)

from .configuration_skinflow import SkinflowConfig

PROJECTIONS = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}


@torch.compiler.assume_constant_result
@functools.lru_cache(maxsize=32)
def frequency_groups(outputs, inputs, groups, device):
    """Group of each coefficient of a weight's rfft2, `[outputs, inputs // 2 + 1]`."""
    u, v = np.fft.fftfreq(outputs)[:, None], np.fft.rfftfreq(inputs)[None]
    radius = np.sqrt(u**2 + v**2)
    keys = [np.broadcast_to(key, radius.shape).ravel() for key in (v, np.abs(u), radius)]
    rank = np.empty(radius.size, np.int64)
    rank[np.lexsort(keys)] = np.arange(radius.size)
    found = (rank * groups // radius.size).reshape(radius.shape)
    upper = np.arange(1, (outputs + 1) // 2)
    for column in [0, inputs // 2] if inputs % 2 == 0 else [0]:
        found[-upper, column] = found[upper, column]
    return torch.from_numpy(found).to(device)


class FDLinear(nn.Module):
    """y = output_gate * (V (input_gate * x)) + bias, V = irfft2(group_gate * spectrum * m)."""

    def __init__(self, inputs, outputs, bias, dve):
        super().__init__()
        hidden = max(inputs // dve["reduction"], 16)
        widths = {"input": inputs, "output": outputs, "group": dve["groups"]}
        self.inputs, self.outputs, self.groups = inputs, outputs, dve["groups"]
        self.temperature = dve["temperature"]
        self.scale = max(min(inputs, outputs) // 2, 1)
        f32 = {"dtype": torch.float32}
        self.spectrum = nn.Parameter(torch.empty(outputs, inputs // 2 + 1, 2, **f32))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.reduce = nn.Linear(inputs, hidden, bias=False, **f32)
        self.norm = nn.RMSNorm(hidden, eps=1e-6, **f32)
        for name in dve["gates"]:
            setattr(self, f"{name}_gate", nn.Linear(hidden, widths[name], **f32))

    @torch.no_grad()
    def reset(self, spread):
        """A random weight whose gates are all 1."""
        size, device = (self.outputs, self.inputs), self.spectrum.device
        weight = torch.randn(size, dtype=torch.float32, device=device) * spread
        self.spectrum.copy_(torch.view_as_real(torch.fft.rfft2(weight) / self.scale))
        for name in ("input_gate", "output_gate", "group_gate"):
            if hasattr(self, name):
                getattr(self, name).weight.zero_()
                getattr(self, name).bias.zero_()
        if self.bias is not None:
            self.bias.zero_()

    def gate(self, name, hidden):
        """A gate's values in (0, 2), or None where it does not act."""
        head = getattr(self, f"{name}_gate", None)
        if head is None:
            return None
        values = hidden @ head.weight.float().T + head.bias.float()
        return 2 * torch.sigmoid(values / self.temperature)

    def gates_and_weight(self, x):
        """Of one image, `[tokens, inputs]`: input and output gate and the weight, in float32."""
        mean = x.float().mean(dim=0)
        hidden = relu(
            rms_norm(
                self.reduce.weight.float() @ mean,
                self.norm.normalized_shape,
                self.norm.weight.float(),
                self.norm.eps,
            )
        )
        spectrum = torch.view_as_complex(self.spectrum.float().contiguous())
        group = self.gate("group", hidden)
        if group is not None:
            ids = frequency_groups(self.outputs, self.inputs, self.groups, x.device)
            spectrum = spectrum * group[ids]
        size = (self.outputs, self.inputs)
        weight = torch.fft.irfft2(spectrum * self.scale, s=size)
        return self.gate("input", hidden), self.gate("output", hidden), weight

    def one_image(self, x):
        """`[tokens, inputs]` of one image to `[tokens, outputs]`."""
        with torch.autocast(x.device.type, enabled=False):
            input_gate, output_gate, weight = self.gates_and_weight(x)
        if input_gate is not None:
            x = x * input_gate.to(x.dtype)
        y = x @ weight.to(x.dtype).T
        if output_gate is not None:
            y = y * output_gate.to(y.dtype)
        return y if self.bias is None else y + self.bias.to(y.dtype)

    def forward(self, x, lengths):
        """Tokens of several images in a row, `lengths` of each."""
        return torch.cat([self.one_image(part) for part in x.split(lengths)])


class DynamicMlp(nn.Module):
    """A block's feed-forward part with some of its maps dynamic."""

    def __init__(self, static, dve):
        super().__init__()
        self.act_fn = static.act_fn
        for name, projection in PROJECTIONS.items():
            linear = getattr(static, projection)
            if name in dve["linears"]:
                bias = linear.bias is not None
                linear = FDLinear(linear.in_features, linear.out_features, bias, dve)
            setattr(self, projection, linear)

    def apply_map(self, name, x, lengths):
        """A static or a dynamic map."""
        linear = getattr(self, name)
        return linear(x, lengths) if isinstance(linear, FDLinear) else linear(x)

    def forward(self, x, lengths):
        """The feed-forward pass over tokens of several images, `lengths` of each."""
        hidden = self.act_fn(self.apply_map("gate_proj", x, lengths))
        hidden = hidden * self.apply_map("up_proj", x, lengths)
        return self.apply_map("down_proj", hidden, lengths)


class DynamicVisionBlock(Qwen2_5_VLVisionBlock):
    """A vision block that knows which tokens belong to one image."""

    def __init__(self, config, dve):
        super().__init__(config)
        self.mlp = DynamicMlp(self.mlp, dve)
        self.lengths = None

    def __call__(self, *args, **kwargs):
        """The block, with the lengths of the images at hand."""
        # Handed over with the call: gradient checkpointing runs it again when others may be set.
        return super().__call__(*args, image_lengths=self.lengths, **kwargs)

    def forward(self, hidden_states, cu_seqlens, image_lengths, **kwargs):
        """Attention as it was, then the dynamic feed-forward part."""
        attended = self.attn(self.norm1(hidden_states), cu_seqlens=cu_seqlens, **kwargs)
        hidden_states = hidden_states + attended
        return hidden_states + self.mlp(self.norm2(hidden_states), image_lengths)


class DynamicVisionTower(Qwen2_5_VisionTransformerPretrainedModel):
    """A vision tower that can start a dynamic map."""

    def _init_weights(self, module):
        """Random values, asked for in a new model and where a folder has none."""
        if isinstance(module, FDLinear):
            module.reset(self.config.initializer_range)
        else:
            super()._init_weights(module)


class SkinflowForConditionalGeneration(Qwen2_5_VLForConditionalGeneration):
    """Qwen2.5-VL with a dynamic vision encoder."""

    config_class = SkinflowConfig
    # All of FDLinear but its bias, whatever type is asked for.
    _keep_in_fp32_modules_strict = (
        *("spectrum", "reduce", "input_gate", "output_gate", "group_gate"),
        *(f"{projection}.norm" for projection in PROJECTIONS.values()),
    )

    def __init__(self, config):
        super().__init__(config)
        tower = self.model.visual
        tower.__class__ = DynamicVisionTower  # transformers asks the tower to start its modules
        for index in config.dve["blocks"]:
            tower.blocks[index] = DynamicVisionBlock(tower.config, config.dve)
        tower.register_forward_pre_hook(_tell_lengths, with_kwargs=True)
        self.post_init()


def _tell_lengths(tower, args, kwargs):
    grid = kwargs["grid_thw"] if "grid_thw" in kwargs else args[1]
    lengths = grid.prod(dim=-1).tolist()
    for block in tower.blocks:
        if isinstance(block, DynamicVisionBlock):
            block.lengths = lengths
