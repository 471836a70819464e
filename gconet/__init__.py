"""GCoNet: group collaborative learning for co-salient object detection (Fan et al., CVPR 2021)."""

__version__ = "0.1.0"
