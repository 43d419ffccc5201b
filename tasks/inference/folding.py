"""Folds batch norms into the convolutions before them: the same answers from fewer passes over memory.

In evaluation a batch norm is a scale and a shift of each channel, and a convolution can do both at no cost.
https://docs.pytorch.org/tutorials/intermediate/fx_conv_bn_fuser.html
"""

from __future__ import annotations

from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(net: nn.Module) -> fx.GraphModule:
    """Return a network in evaluation mode that answers as `net` does, without the batch norms that can be folded.

    Only a convolution whose output nothing else sees, and only layers that are called once, can change.
    """
    folded = fx.symbolic_trace(net.eval())
    layers = dict(folded.named_modules())
    calls = Counter(node.target for node in folded.graph.nodes if node.op == "call_module")
    for node in list(folded.graph.nodes):
        if node.op != "call_module" or not isinstance(layers[node.target], nn.BatchNorm2d):
            continue
        before = node.args[0]
        if before.op != "call_module" or not isinstance(layers[before.target], nn.Conv2d) or len(before.users) > 1:
            continue
        if calls[before.target] == calls[node.target] == 1:
            folded.set_submodule(before.target, fuse_conv_bn_eval(layers[before.target], layers[node.target]))
            node.replace_all_uses_with(before)
            folded.graph.erase_node(node)
    folded.delete_all_unused_submodules()
    folded.recompile()
    return folded
