"""The SE blocks of a graph out of an ONNX file become modules of their own.

An ONNX graph is one list of operators, in which a product takes the feature map and the gate from two places. What is
computed from one feature map alone, pooled on the way, and multiplied with it, is put into a module that takes the map
and gives the product, as an SE block is in other networks: so that a gate can be folded and channels be cut.
"""

import operator
from collections.abc import Collection

from torch import Tensor, fx, nn

POOLING = ("GlobalAveragePool", "GlobalMaxPool", "AveragePool", "ReduceMean")
"""Operators of which one lies between a feature map and its gate."""


def group_blocks(module: fx.GraphModule, products: Collection[str], pooling: Collection[str]) -> None:
    """Put every block into a module of its own, in place, under the path of its product.

    Parameters
    ----------
    module
        Converted from an ONNX graph, its submodules called as the nodes there.
    products
        Paths of those that multiply.
    pooling
        Paths of those that pool.
    """
    for node in list(module.graph.nodes):
        if node.target not in products or len(node.args) != 2:
            continue
        for u, gate in (node.args, node.args[::-1]):
            inside = _between(u, gate, node)
            if any(each.target in pooling for each in inside):
                _group(module, u, gate, node, inside)
                break
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()


def _between(u: object, gate: object, product: fx.Node) -> list[fx.Node]:
    """What the gate is computed by from a feature map, in order; empty if from more than that, or for more than it."""
    if not (isinstance(u, fx.Node) and isinstance(gate, fx.Node)):
        return []
    found, waiting = {product}, [gate]
    while waiting:
        each = waiting.pop()
        if each.op == "placeholder":
            return []
        if each is not u and each not in found:
            found.add(each)
            waiting += each.all_input_nodes
    computed = [each for each in found if each.op != "get_attr" and each is not product]
    if u in found or any(not found >= set(each.users) for each in computed):
        return []
    return [each for each in product.graph.nodes if each in found and each is not product]


def _group(module: fx.GraphModule, u: fx.Node, gate: fx.Node, product: fx.Node, inside: list[fx.Node]) -> None:
    graph = fx.Graph()
    copies = {u: graph.placeholder("u")}
    parts: dict[str, nn.Module | Tensor] = {}
    for node in inside:
        copies[node] = graph.node_copy(node, copies.__getitem__)
        if node.op == "get_attr":
            parts[str(node.target)] = module.get_buffer(str(node.target)).clone()
        elif node.op == "call_module":
            parts[str(node.target)] = module.get_submodule(str(node.target))
    graph.output(graph.call_function(operator.mul, (copies[u], copies[gate])))
    path = str(product.target)
    module.set_submodule(path, fx.GraphModule(parts, graph))
    with module.graph.inserting_before(product):
        product.replace_all_uses_with(module.graph.call_module(path, (u,)))
    module.graph.erase_node(product)
