"""Sentence encoding here and in sentence-transformers, on the same texts and cores, in turns within one run.

    python3 encoder_reference.py --zhiyin PATH --model DIR [--texts FILE] [--threads N] [--rounds N] [--venv DIR]

DIR is a folder that sentence-transformers can load (config.json, tokenizer.json, model.safetensors, modules.json ...): the same weights that
`zhiyin llm pull minilm` keeps. FILE has one text per line; without it the item titles of the bundled shop data are used. The script makes a
virtual environment with PyTorch and sentence-transformers if VENV isn't there yet, and runs itself in it.

Prints JSON: texts per second of both (best round), their ratio in each round and its median, and the largest difference between the vectors.
The ratio is above 1 where `zhiyin` is faster.
"""

import argparse
import csv
import json
import lzma
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

PACKAGES = ["torch", "sentence-transformers"]
SHOP = Path(__file__).resolve().parent.parent / "data/online-retail/online_retail.csv.xz"


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zhiyin", default="target/release/zhiyin", help="the program")
    parser.add_argument("--model", required=True, help="folder of the model for sentence-transformers")
    parser.add_argument("--texts", help="file with one text per line")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32, help="batch size of sentence-transformers")
    parser.add_argument("--venv", default=str(Path(tempfile.gettempdir()) / "zhiyin-encoder-venv"))
    return parser.parse_args()


def enter(folder):
    """Runs this script again in the virtual environment, which is made if it is missing."""
    python = Path(folder) / "bin/python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    if Path(sys.prefix) != Path(folder):
        os.execv(python, [str(python), *sys.argv])


def shop_titles():
    with lzma.open(SHOP, "rt", encoding="utf-8", errors="replace", newline="") as file:
        titles = {row["StockCode"]: row["Description"].strip() for row in csv.DictReader(file) if row["Description"].strip()}
    return [" ".join(title.split()) for title in titles.values()]


def ours(options, texts, vectors):
    command = [options.zhiyin, "bench", "encode", "--texts", texts, "--repeat", "1", "--vectors", vectors]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(options.threads)}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(result.stdout)


def main():
    settings = options()
    enter(settings.venv)
    import numpy
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(settings.threads)
    with tempfile.TemporaryDirectory() as folder:
        path, vectors = f"{folder}/texts", f"{folder}/vectors"
        if settings.texts:
            texts = [line for line in Path(settings.texts).read_text(encoding="utf-8").splitlines() if line]
        else:
            texts = shop_titles()
        Path(path).write_text("\n".join(texts), encoding="utf-8")
        model = SentenceTransformer(settings.model, device="cpu")
        model.encode(texts[:64], batch_size=settings.batch)
        rounds = []
        for _ in range(settings.rounds):
            found = ours(settings, path, vectors)
            started = time.perf_counter()
            theirs = model.encode(texts, batch_size=settings.batch, normalize_embeddings=True, show_progress_bar=False)
            seconds = time.perf_counter() - started
            rounds.append((found["texts_per_second"], len(texts) / seconds))
        difference = float(numpy.abs(numpy.loadtxt(vectors, dtype=numpy.float32) - theirs).max())
    ratios = [here / there for here, there in rounds]
    print(json.dumps({
        "texts": len(texts),
        "tokens": found["tokens"],
        "threads": settings.threads,
        "zhiyin_texts_per_second": max(here for here, _ in rounds),
        "sentence_transformers_texts_per_second": max(there for _, there in rounds),
        "ratios": ratios,
        "ratio_median": statistics.median(ratios),
        "largest_difference": difference,
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
    }, indent=2))


if __name__ == "__main__":
    main()
