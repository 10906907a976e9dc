"""What others have published, to be read beside a report and not against it."""

from typing import NamedTuple


class Published(NamedTuple):
    """Figures in per cent, as their source gives them."""

    model: str
    images: str
    top_1: float
    top_6: float


SOURCE = "arXiv 2601.09136"
ADDRESS = "https://arxiv.org/abs/2601.09136"

_FITZPATRICK = "1,000 drawn from Fitzpatrick17k"

PUBLISHED = (
    Published("SkinFlow: Stage I and dynamic vision encoder", _FITZPATRICK, 29.19, 71.16),
    Published("its ablation: Stage I alone", _FITZPATRICK, 24.45, 57.69),
    Published("its ablation: neither", _FITZPATRICK, 15.22, 45.36),
    Published("Qwen3-VL-235B", _FITZPATRICK, 17.13, 42.59),
    Published("SkinFlow", "about 200, private", 36.63, 79.21),
)
