"""Peak memory and speed of ``data_preprocess/virl39k.py`` on as many images as a real training set has.

    python measure/preprocess_memory.py
    python measure/preprocess_memory.py --images 2000 --work_dir /tmp/preprocess

generates a data set in ViRL39K's form (a parquet file and ``images.zip``, about 3 GB for 24,000 images) from random
pictures, converts it in a process of its own and prints that process's peak resident memory, images per second and the
sizes. Of 20 images 16 are JPEG photographs that are stored as they are, two are larger than ``--max_pixels``, one is a
PNG with transparency, and one is a large PNG drawing; 200 different ones are stored under all names.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
DIFFERENT = 200


def picture(number: int) -> tuple[str, bytes]:
    """Suffix and content of one image."""
    rng = np.random.default_rng(number)
    kind = number % 20
    width, height = (1800, 1300) if kind in (16, 17) else (800, 600)
    mode = {18: "RGBA"}.get(kind, "RGB")
    # A coarse pattern with grain on it: about 100 kB as a JPEG of 800 x 600, like a photograph.
    coarse = rng.integers(0, 256, (12, 16, len(mode)), dtype=np.uint8)
    image = Image.fromarray(coarse, mode).resize((width, height), Image.Resampling.BICUBIC)
    if kind < 18:
        grain = rng.integers(-12, 13, (height, width, 1))
        image = Image.fromarray(np.clip(np.asarray(image, dtype=int) + grain, 0, 255).astype(np.uint8))
    elif kind == 19:
        image = image.quantize(16).convert("RGB")
    buffer = io.BytesIO()
    suffix = "jpg" if kind < 18 else "png"
    image.save(buffer, {"jpg": "JPEG", "png": "PNG"}[suffix])
    return suffix, buffer.getvalue()


def generate(folder: Path, images: int) -> int:
    """Write the data set; return the bytes of its images."""
    pictures = [picture(number) for number in range(min(DIFFERENT, images))]
    paths, size = [], 0
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:  # stored: the images are compressed already
        for number in range(images):
            suffix, content = pictures[number % len(pictures)]
            paths.append(f"images/Processed-{number}-0.{suffix}")
            archive.writestr(paths[-1], content)
            size += len(content)
    table = {
        "question": [f"<image>What is shown in picture {number}?" for number in range(images)],
        "answer": [rf"\boxed{{{number}}}" for number in range(images)],
        "PassRate_32BTrained": [0.5] * images,
        "PassRate_7BBase": [-1.0] * images,
        "category": ["(GradeSchool) Geometric"] * images,
        "source": ["Processed"] * images,
        "qid": [f"Processed-{number}" for number in range(images)],
        "image": [[path] for path in paths],
    }
    pq.write_table(pa.table(table), folder / "39Krelease.parquet")
    return size


def main() -> None:
    """Generate, convert, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=24_000, help="number of images (%(default)s)")
    parser.add_argument("--work_dir", help="where to put the files; a temporary folder that is removed by default")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.work_dir) as folder:
        source, out = Path(folder) / "ViRL39K", Path(folder) / "out"
        source.mkdir()
        size = generate(source, args.images)
        print(f"{args.images:,} images, {size / 1e9:.2f} GB")
        command = [sys.executable, str(ROOT / "data_preprocess" / "virl39k.py"), "--test_size", "0"]
        command += ["--local_dataset_path", str(source), "--local_save_dir", str(out)]
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        start = time.monotonic()
        status = subprocess.call(command, env=environment)
        seconds = time.monotonic() - start
        if status:
            sys.exit(f"the conversion ended with exit code {status}")
        # The largest of all children; there is one. (It is never below what this process needed, which is less.)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        written = json.loads((out / "report.json").read_text())["files"]["train"]["written"]
        print(
            f"{written:,} rows, {(out / 'train.parquet').stat().st_size / 1e9:.2f} GB written in {seconds:.0f} s"
            f" ({written / seconds:.0f} images/s); peak memory {peak:,.0f} MiB"
        )


if __name__ == "__main__":
    main()
