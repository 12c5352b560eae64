#!/usr/bin/env python3
"""Writes the list of Keras's own classes and functions that rebuild from plain configuration.

    derive.py UNPACKED-RELEASE... > crates/scan/src/analyses/keras/names.txt

Each argument is a folder that holds the package of one release (`keras/` or `tf_keras/`). Sources are parsed, never
imported. A name is listed if its class descends from a class that Keras rebuilds by `from_config` (layers, models,
initializers, losses, optimizers ...), or if it is a function of activations, losses, metrics or tensor operations.
What rebuilds code, reads files or takes a callable by design is left out by name; the analysis judges it by itself.
"""
import ast
import pathlib
import sys

ROOTS = {
    "Layer", "BaseLayer", "Operation", "Model", "Initializer", "Regularizer", "Constraint", "Loss", "Metric",
    "Optimizer", "BaseOptimizer", "OptimizerV2", "TFOptimizer", "LearningRateSchedule", "DTypePolicy", "Policy",
    "Quantizer", "QuantizationConfig", "SeedGenerator", "AbstractRNNCell", "FeatureSpace", "Container", "KerasTensor",
}
# Judged by the analysis itself: they rebuild code, or load another file.
APART = {
    "Lambda", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TFSMLayer", "TFOpLambda", "SlicingOpLambda",
    "ClassMethod", "InstanceMethod", "InstanceProperty", "TensorFlowOpLayer", "LambdaCallback", "Merge",
}
FUNCTION_HOMES = ("activations", "losses", "metrics", "ops")
# They resolve names, take callables to run, or print.
NOT_FUNCTIONS = {
    "get", "serialize", "deserialize", "map", "scan", "associative_scan", "cond", "switch", "while_loop", "fori_loop",
    "vectorized_map", "custom_gradient", "rearrange", "einops", "vectorize", "apply_along_axis", "apply_over_axes",
    "jvp", "map_graph", "clone_metric", "clone_metrics",
}


def last(node):
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def exports(node):
    for d in node.decorator_list:
        if isinstance(d, ast.Call) and last(d.func) in {"keras_export", "keras_hub_export", "tf_export"}:
            for text in ast.walk(d):
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.value


def modules(root):
    for package in ("keras", "tf_keras"):
        for path in sorted((root / package).rglob("*.py")):
            parts = list(path.relative_to(root).with_suffix("").parts)
            parts[0] = "keras"
            if any(p in {"_tf_keras", "tests", "test", "integration_test", "testing_infra", "test_util"} for p in parts):
                continue
            if parts[-1] == "__init__":
                parts.pop()
            try:
                yield ".".join(parts), ast.parse(path.read_text(encoding="utf-8", errors="replace"))
            except SyntaxError as e:
                print(f"{path}: {e}", file=sys.stderr)


def release(root):
    bases, classes, functions, aliases = {}, [], [], []
    for module, tree in modules(root):
        if module.rsplit(".", 1)[-1].endswith("_test"):
            continue
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                bases.setdefault(node.name, set()).update(filter(None, map(last, node.bases)))
                classes.append((module, node))
            elif isinstance(node, ast.FunctionDef):
                functions.append((module, node))
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
                aliases += [(module, t.id, node.value.id) for t in node.targets if isinstance(t, ast.Name)]

    def rebuilt(name, seen=()):
        return name in ROOTS or any(rebuilt(b, (*seen, name)) for b in bases.get(name, ()) if b not in seen)

    good = set()
    for module, node in classes:
        if rebuilt(node.name) and node.name not in APART and not node.name.startswith("_"):
            good.add(node.name)
            yield "class", module, node.name
            for path in exports(node):
                yield "class", *path.rsplit(".", 1)
    for module, name, target in aliases:
        if target in good and name[0].isalpha():
            yield "class", module, name
    for module, node in functions:
        paths = [tuple(p.rsplit(".", 1)) for p in exports(node)]
        for home, name in [(module, node.name), *(p for p in paths if len(p) == 2)]:
            parts = home.split(".")
            inside = any(p in FUNCTION_HOMES or p in {"objectives"} for p in parts[1:3] + parts[2:3])
            if inside and not name.startswith("_") and name not in NOT_FUNCTIONS:
                yield "function", home, name


def main():
    found = set()
    for folder in sys.argv[1:]:
        for kind, module, name in release(pathlib.Path(folder)):
            module = module.replace("tf_keras", "keras", 1)
            if ".legacy.saving" in module or ".saving" in module or ".backend." in module and kind == "function":
                continue
            found.add((kind, module, name))
    by_home = {}
    for kind, module, name in found:
        by_home.setdefault((kind, module), set()).add(name)
    for (kind, module), names in sorted(by_home.items()):
        print(kind, module, *sorted(names))


main()
