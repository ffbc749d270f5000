"""Omniglot and mini-ImageNet as a user has pictures: a folder with a sub-folder for each class.

    python -m benchmarks.embeddings.write_folders letters FOLDER
    python -m benchmarks.embeddings.write_folders pictures FOLDER --examples 60

`letters`: the 659 characters of Omniglot's 20 evaluation alphabets, 20 drawings each. `pictures`:
the test classes of mini-ImageNet and as many examples of each as are asked for. Both are read from
`$QUICKSTUDY_DATA`: omniglot.npz, and mini_imagenet_small/, whose pictures are compressed more
strongly than the originals.
"""

import argparse
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image


def letters(data: Path, out: Path, examples: int) -> None:
    """Black ink on white paper, 105 × 105."""
    file = np.load(data / "omniglot.npz")
    for number in np.flatnonzero(~file["background"]):
        drawings = np.unpackbits(file["bits"][number], axis=1, count=105 * 105)
        folder = out / file["names"][number].replace("/", "-")
        folder.mkdir(parents=True)
        for drawer, drawing in enumerate(drawings[:examples]):
            image = Image.fromarray((255 * (1 - drawing)).reshape(105, 105))
            image.save(folder / f"{drawer:02}.png")


def pictures(data: Path, out: Path, examples: int) -> None:
    """Photographs in colour, 84 × 84."""
    packed = data / "mini_imagenet_small" / "mini_imagenet_test"
    file, content = np.load(packed.with_suffix(".npz")), packed.with_suffix(".bin").read_bytes()
    header, offsets = file["header"].tobytes(), file["offsets"].astype(int)
    for label, name in enumerate(file["wnids"]):
        (out / str(name)).mkdir(parents=True)
        for number in np.flatnonzero(file["labels"] == label)[:examples]:
            image = Image.open(io.BytesIO(header + content[offsets[number] : offsets[number + 1]]))
            image.convert("RGB").save(out / str(name) / f"{number:05}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write folders of pictures.")
    parser.add_argument("what", choices=["letters", "pictures"])
    parser.add_argument("out", type=Path, help="a folder that is not there yet")
    parser.add_argument("--examples", type=int, default=20, help="of each class")
    options = parser.parse_args()
    write = {"letters": letters, "pictures": pictures}[options.what]
    write(Path(os.environ["QUICKSTUDY_DATA"]), options.out, options.examples)


if __name__ == "__main__":
    main()
