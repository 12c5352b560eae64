"""Writes crates/scan/src/catalogue/torch/operators.txt: operators of torch that compute, by namespace.

Reads wheels and a checkout of ExecuTorch; imports nothing of them. Usage: list.py EXECUTORCH WHEEL... > operators.txt
"""

import re
import subprocess
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

# Namespaces whose operators compute. Left out, and so unknown: c10d, symm_mem and the like (other machines), inductor
# and static_runtime (raw memory), fb, onnx, tests.
NAMESPACES = {
    "aten", "prim", "quantized", "_quantized", "onednn", "mkldnn", "prepacked", "sparse", "mkldnn_prepacked", "profiler",
}
# What does more than compute, is in no list of harmless operators: see effects.tsv beside the list.
EFFECTS = {"aten": {"save", "from_file"}, "prim": {"PythonOp", "IgnoredPythonOp", "BailoutTemplate", "BailOut"},
           "mkldnn": {"data_ptr"}}
# Schemas without a namespace in the library are aten's but for these.
OTHERS = re.compile(
    r"^(_?all_?gather|_?allgather|all_?reduce|all_?to_?all|broadcast_?$|_?reduce|gather_$|barrier|monitored|multimem|nvshmem|send$|"
    r"recv|one_shot|two_shot|shard_dim|wait_tensor|memset32|stream_|_alloc_from_pool|_reinterpret_tensor|accumulate_grad|"
    r"get_gradients|resize_storage_bytes|gDevice|argument$|buf$|method$|qw$|qx$|schema$|sizes$|_async_input)"
)
SCHEMA = re.compile(rb"(?:([A-Za-z_0-9]+)::)?([A-Za-z_0-9]+)(?:\.[A-Za-z_0-9]+)?\([^\n]*\) *->")

# By hand, from their own sources: torchvision's and torchao's tensor operators, and what ExecuTorch registers from Python.
BY_HAND = {
    "torchvision": "nms roi_align _roi_align_backward roi_pool _roi_pool_backward ps_roi_align _ps_roi_align_backward "
    "ps_roi_pool _ps_roi_pool_backward deform_conv2d _deform_conv2d_backward _interpolate_bilinear2d_aa "
    "_interpolate_bicubic2d_aa",
    "torchao": "quantize_affine dequantize_affine choose_qparams_affine choose_qparams_affine_with_min_max "
    "quantize_affine_no_dtype_cast dequantize_affine_no_dtype_check",
    "executorch_prims": "add sub mul floordiv truediv mod neg eq gt lt ge le sym_float et_view",
    "dim_order_ops": "_to_dim_order_copy _empty_dim_order _clone_dim_order",
    "et_copy": "_h2d_copy _d2h_copy",
    "llama": "sdpa_with_kv_cache custom_sdpa update_cache fast_hadamard_transform",
    "profiler": "_record_function_enter _record_function_enter_new _record_function_exit _call_end_callbacks_on_jit_fut",
    "image": "decode_image decode_png decode_jpeg decode_gif decode_webp encode_png encode_jpeg",
    # Plain functions that exported programs name.
    "torch": "sym_int sym_float sym_ite sym_max sym_min sym_not sym_sum sym_fresh_size _sym_sqrt _sym_sin _sym_cos _sym_tan "
    "_sym_asin _sym_acos _sym_atan _sym_sinh _sym_cosh _sym_tanh _sym_exp _sym_log _sym_log2 _sym_abs",
    "_operator": "abs add and_ eq floordiv ge gt le lshift lt mod mul ne neg not_ or_ pos pow rshift sub truediv xor getitem invert",
    "math": "ceil floor trunc sqrt",
    # Native classes that torch itself registers and that models hold: packed weights, contexts of operators.
    "class": "quantized.LinearPackedParamsBase quantized.Conv2dPackedParamsBase quantized.Conv3dPackedParamsBase "
    "quantized.EmbeddingPackedParamsBase LinearPackedParamsBase Conv2dPackedParamsBase Conv3dPackedParamsBase "
    "EmbeddingPackedParamsBase sparse.LinearPackedParamsBase rnn.CellParamsBase xnnpack.LinearOpContext xnnpack.Conv2dOpContext "
    "xnnpack.TransposeConv2dOpContext mkldnn.ConvOpContext profiler._RecordFunction",
    # functorch's and export's own operators on graphs that are part of the program. Not listed: kernels of Triton,
    # precompiled graphs, calls of custom classes (their class is judged by itself).
    "higher_order": "associative_scan auto_functionalized auto_functionalized_v2 cond executorch_call_delegate flex_attention "
    "flex_attention_backward foreach_map hints_wrapper invoke_quant invoke_quant_packed invoke_subgraph map map_impl out_dtype scan "
    "strict_mode tag_activation_checkpoint while_loop while_loop_stack_output with_effects wrap wrap_activation_checkpoint "
    "wrap_with_autocast wrap_with_set_grad_enabled call_torchbind",
}


def of_wheel(path, found):
    with zipfile.ZipFile(path) as wheel:
        for name in wheel.namelist():
            if name == "torchgen/packaged/ATen/native/native_functions.yaml":
                for op in re.findall(r"^- func: ([A-Za-z0-9_]+)", wheel.read(name).decode(), re.M):
                    found["aten"].add(op)
            elif re.fullmatch(r"torch/lib/libtorch_cpu\.so", name):
                for text in re.findall(rb"[\x20-\x7e]{6,}", wheel.read(name)):
                    m = SCHEMA.fullmatch(text[: text.rfind(b"->") + 2]) if b"->" in text else None
                    if not m:
                        continue
                    space, op = (m[1] or b"").decode(), m[2].decode()
                    if space in NAMESPACES:
                        found[space].add(op)
                    elif not space and not OTHERS.match(op):
                        found["aten"].add(op)
            elif name == "torch/_prims/__init__.py":
                source = wheel.read(name).decode()
                found["prims"].update(re.findall(r'schema="\(?([a-z_0-9]+)\(', source))
                found["prims"].update(re.findall(r'\n\s+"([a-z_0-9]+)",?\n?\s*(?:type_promotion|meta)', source))
                found["prims"].update(re.findall(r"^([a-z_0-9]+) = _make_", source, re.M))
            elif name == "torch/ao/quantization/fx/_decomposed.py":
                found["quantized_decomposed"].update(re.findall(r'"([a-z_0-9]+)[(.]', wheel.read(name).decode()))


def of_executorch(root, found):
    for name in ["kernels/quantized/quantized.yaml"]:
        text = subprocess.run(["git", "-C", root, "show", f"@:{name}"], check=True, capture_output=True, text=True).stdout
        for space, op in re.findall(r"func: ([a-z_]+)::([A-Za-z_0-9]+)", text):
            found[space].add(op)


def main():
    found = defaultdict(set)
    of_executorch(sys.argv[1], found)
    for wheel in sys.argv[2:]:
        of_wheel(wheel, found)
    for space, names in BY_HAND.items():
        found[space].update(names.split())
    print("# Operators of torch that compute or keep state of their own process: no file, network, Python function or compiled code.")
    print("# Written by tools/torch-ops/list.py from", ", ".join(sorted(Path(w).name.split("-cp")[0] for w in sys.argv[2:])))
    print("# and ExecuTorch's own lists. What is not here is unknown; what does more is in effects.tsv.")
    for space in sorted(found):
        print(f"[{space}]")
        for op in sorted(found[space] - EFFECTS.get(space, set())):
            print(op)


main()
