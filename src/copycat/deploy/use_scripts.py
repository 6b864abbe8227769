"""The script that is exported beside a network: it uses it, on an image file, without Copycat."""

from collections.abc import Mapping
from typing import Any

from copycat.deploy.predictor import Predictor
from copycat.models import networks

FITS = {
    "crop": "ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.BICUBIC)",
    "squash": "image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)",
    "pad": 'ImageOps.pad(image, (SIZE, SIZE), Image.Resampling.BICUBIC, color="white")',
}
READ = """\
image = Image.open(sys.argv[1]).convert("RGB")
pixels = np.asarray(FIT).transpose(2, 0, 1)[None]
"""
SAY = """\
for name, probability in zip(CLASSES, said[0].tolist()):
    print(f"{name} {probability:.4f}")
"""
TORCH = f"""\
import sys
import numpy as np, torch
from PIL import Image, ImageOps
network = torch.export.load("model.pt2").module()
{READ}said = network(torch.from_numpy(pixels.copy()))
{SAY}"""
ONNX = f"""\
import sys
import numpy as np, onnxruntime
from PIL import Image, ImageOps
session = onnxruntime.InferenceSession("model.onnx")
{READ}said = session.run(None, {{"image": pixels}})[0]
{SAY}"""
SAFETENSORS = f"""\
import sys
import numpy as np, torch, MODULE
from PIL import Image, ImageOps
from safetensors.torch import load_file
network = CALL.eval()
network.load_state_dict(load_file("model.safetensors"))
{READ}logits = network(torch.from_numpy(pixels / np.float32(255)))
said = SAID
{SAY}"""
BINARY = "torch.cat([1 - {p}, {p}], 1)"
SAID = {
    "BCE": BINARY.format(p="logits.sigmoid()"),
    "BCEWithLogits": BINARY.format(p="logits.sigmoid()"),
    "MSE": BINARY.format(p="logits.clamp(0, 1)"),
    "CrossEntropy": "logits.softmax(1)",
}
"""What a loss makes of logits, in torch's words."""


def use_script(form: str, predictor: Predictor, call: str, module: str) -> str:
    """Args:
    call: what makes the network, where its file holds weights alone.
    module: where that is from.
    """
    kind, classes = type(predictor.loss).__name__, len(predictor.classes)
    said = "logits.clamp(0, 1)" if kind == "MSE" and classes > 2 else SAID.get(kind, "logits")
    text = {"safetensors": SAFETENSORS, "torch": TORCH, "onnx": ONNX}[form]
    words = {
        "FIT": FITS[predictor.fit],
        "SIZE": str(predictor.size),
        "CLASSES": repr(list(predictor.classes)),
        "SAID": said,
        "CALL": call,
        "MODULE": module,
    }
    for word, instead in words.items():
        text = text.replace(word, instead)
    return text


def call_of(node: Mapping[str, Any], derived: Mapping[str, Any]) -> tuple[str, str]:
    """The call that makes a network, in Python, and the module that it takes.

    Args:
        node: of the configuration.
        derived: what stands in it for null.
    """
    module, _, name = str(node["_target_"]).rpartition(".")
    if module == networks.__name__:
        module = "networks"  # which is exported beside it
    keys = [
        f"{key}={_python(derived[key] if value is None else value)}" for key, value in node.items() if key[0] != "_"
    ]
    return f"{module}.{name}({', '.join(keys)})", module


def _python(value: Any) -> str:
    if isinstance(value, Mapping) and "_target_" in value:
        keys = ", ".join(f"{key}={inner!r}" for key, inner in value.items() if key[0] != "_")
        return f"lambda: {str(value['_target_']).replace('torch.nn.modules.activation', 'torch.nn')}({keys})"
    return repr(list(value) if isinstance(value, tuple) else value)
