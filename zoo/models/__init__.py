"""Architectures, entered in timm's registry by importing this package; a new one is a new file."""

from zoo.models.fold import fold, published_form, unfold
from zoo.models.group_sort_mlp import GroupSortMLP
from zoo.models.headed import HeadedNet
from zoo.models.linf_average import LinfAverage
from zoo.models.linf_dist_conv import LinfDistConv
from zoo.models.linf_dist_hybrid import LinfDistHybrid
from zoo.models.linf_dist_mlp import LinfDistMLP
from zoo.models.net import Net
from zoo.models.prune import prune
from zoo.models.relu_net import ConvNet, ReLUNet
from zoo.models.relu_resnet import ReLUResNet
from zoo.models.sortnet import SortNetMLP
from zoo.models.sortnet_crops import SortNetCrops
from zoo.models.sortnet_hybrid import SortNetHybrid

__all__ = [
    "ConvNet",
    "GroupSortMLP",
    "HeadedNet",
    "LinfAverage",
    "LinfDistConv",
    "LinfDistHybrid",
    "LinfDistMLP",
    "Net",
    "ReLUNet",
    "ReLUResNet",
    "SortNetCrops",
    "SortNetHybrid",
    "SortNetMLP",
    "fold",
    "prune",
    "published_form",
    "unfold",
]
