"""The scripts that use an exported network on an image file without Copycat.

Each format has one script for all runs: run-specific values are data in model.json beside it, so that nothing in a run
folder is ever executed.
"""

from collections.abc import Mapping

from copycat.deploy.export_formats import Format

DESCRIPTION = "model.json"
"""The file that a script reads: classes, image decoding, and the network's arguments."""

START = '''\
"""Classify an image: python use.py IMAGE."""
import json, sys
from pathlib import Path
from decision import describe_decision
from decode import UnreadableImage, decode_pixels
'''
MODEL = """\
FOLDER = Path(__file__).resolve().parent
MODEL = json.loads((FOLDER / "model.json").read_text(encoding="utf-8"))
"""
END = '''\

def read(file):
    """Image file -> uint8 [1, 3, size, size], RGB."""
    return decode_pixels(Path(file), **MODEL["decode"])[None]

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        image = read(sys.argv[1])
    except UnreadableImage as error:
        sys.exit(str(error))
    found = probabilities(image)
    names = [name if name.isprintable() else ascii(name) for name in MODEL["classes"]]
    for name, probability in zip(names, found[0].tolist()):
        print(f"{name} {probability:.4f}")
    for line in describe_decision(names, found, MODEL.get("decision", {})):
        print(line)
'''
SHAPES = '"""uint8 [B, 3, size, size], RGB -> [B, classes]."""'
TORCH = f"""\
{START}import torch
{MODEL}network = torch.export.load(FOLDER / "model.pt2").module()

@torch.no_grad()
def probabilities(images):
    {SHAPES}
    return network(torch.from_numpy(images))
{END}"""
AOTINDUCTOR = f"""\
{START}import torch
{MODEL}network = torch._inductor.aoti_load_package(str(FOLDER / "model.pt2"))

@torch.no_grad()
def probabilities(images):
    {SHAPES}
    return network(torch.from_numpy(images))
{END}"""
OPENVINO = f"""\
{START}import openvino
{MODEL}network = openvino.compile_model(FOLDER / "model.xml", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})

def probabilities(images):
    {SHAPES}
    return network(images)[0]
{END}"""
ONNX = f"""\
{START}import onnxruntime
{MODEL}session = onnxruntime.InferenceSession(FOLDER / "model.onnx", providers=["CPUExecutionProvider"])

def probabilities(images):
    {SHAPES}
    return session.run(None, {{"image": images}})[0]
{END}"""
SAFETENSORS = f"""\
{START}import torch
from functools import partial
from pkgutil import resolve_name
from safetensors.torch import load_file
{MODEL}
def build(node):
    if isinstance(node, list):
        return [build(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    keys = {{key: build(value) for key, value in node.items() if not key.startswith("_")}}
    if "_target_" not in node:
        return keys
    made = partial(resolve_name(node["_target_"]), *build(node.get("_args_", [])), **keys)
    return made if node.get("_partial_") else made()

weights = load_file(FOLDER / "model.safetensors")
dtypes = {{tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}}
dtype = dtypes.pop() if len(dtypes) == 1 else torch.float32
network = build(MODEL["network"]).eval()
if dtype != torch.float32:
    network.to(dtype)
for name, tensor in network.state_dict(keep_vars=True).items():
    tensor.data = tensor.data.to(weights[name].dtype)
network.load_state_dict(weights)
OUTPUTS = {{"sigmoid": torch.sigmoid, "clamp": lambda x: x.clamp(0, 1), "softmax": lambda x: x.softmax(1)}}

@torch.no_grad()
def probabilities(images):
    {SHAPES}
    pixels = torch.from_numpy(images).to(torch.promote_types(dtype, torch.float32)) / 255
    logits = network(pixels.to(dtype))
    found = OUTPUTS[MODEL["output"]](logits)
    if len(MODEL["classes"]) == 2 and not MODEL.get("multi_label"):
        found = torch.cat([1 - found[:, -1:], found[:, -1:]], 1)
    if "temperature" in MODEL:
        logs, both = found.clamp(min=torch.finfo(dtype).tiny).log(), torch.cat([torch.zeros_like(logits), logits], 1)
        logits = {{"sigmoid": both, "softmax": logits, "clamp": logs}}[MODEL["output"]]
        found = (logits / MODEL["temperature"]).softmax(1)
    return found
{END}"""
SCRIPTS: Mapping[Format, str] = {
    "safetensors": SAFETENSORS,
    "torch": TORCH,
    "aotinductor": AOTINDUCTOR,
    "onnx": ONNX,
    "int8": ONNX,
    "openvino": OPENVINO,
    "web": ONNX,
}
"""The script of each format."""
