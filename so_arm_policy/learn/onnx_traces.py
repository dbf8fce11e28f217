"""What exporters note in a graph of the machine that ran them, taken out."""

import onnx


def without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` without what the exporter notes of the machine that ran it: source paths, stack traces, names."""
    for graph in (model.graph, *model.functions):
        _clear(graph)
    model.ClearField("metadata_props")
    return model


def _clear(graph: onnx.GraphProto | onnx.FunctionProto) -> None:
    """Clear the notes of a graph and of all graphs inside its nodes, such as the body of a loop."""
    parts = [*graph.node, *graph.value_info, graph]
    if isinstance(graph, onnx.GraphProto):
        parts += [*graph.initializer, *graph.input, *graph.output]
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _clear(attribute.g)
