"""The mathematics of the model `slist`, in numpy with its BLAS: the peer that `docs/benchmarks.md` compares the fit with.

    python3 slist_numpy.py FILE [--alpha A] [--decay D] [--window W] [--ridge L] [--repeat N]

FILE has one line per user: `user item item ...`, oldest first; the last two items are held out, as in the protocol leave-one-out.
Needs numpy and scipy. Prints JSON: seconds (wall and CPU) of building the Gram matrices and of solving, and the largest entry of |B| as a
check that two implementations computed the same. The solve is Cholesky, inverse from the factor (LAPACK spotrf, spotri), a dense
product with the right-hand side, and the zero diagonal.
"""

import argparse
import json
import time

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack


def read_training(path):
    """Histories without their last two items, and the number of items (numbers start at 1)."""
    with open(path) as lines:
        histories = [[int(word) for word in line.split()[1:]] for line in lines]
    return [h[:-2] for h in histories], max(map(max, histories)) + 1


def binary(histories, n):
    """X: a 1 for each item of each history."""
    lengths = [len(h) for h in histories]
    columns = np.fromiter((i for h in histories for i in h), dtype=np.int64)
    rows = np.repeat(np.arange(len(histories)), lengths)
    matrix = sp.csr_matrix((np.ones(len(columns), np.float32), (rows, columns)), shape=(len(histories), n))
    matrix.data[:] = 1
    return matrix


def prefixes(histories, n, decay, window):
    """S and T: one row per cut of each history, its decayed past and future."""
    weights = np.exp(-np.arange(window) / decay).astype(np.float32)
    parts = ([], [], []), ([], [], [])
    cuts = 0
    for history in histories:
        for cut in range(1, len(history)):
            past = history[max(0, cut - window):cut][::-1]
            future = history[cut:cut + window]
            for (rows, columns, values), items in zip(parts, (past, future)):
                rows.extend([cuts] * len(items))
                columns.extend(items)
                values.extend(weights[:len(items)])
            cuts += 1
    matrices = (sp.csr_matrix((np.array(v, np.float32), (r, c)), shape=(cuts, n)) for r, c, v in parts)
    return tuple(matrices)


def grams(histories, n, options):
    """alpha X'X + (1 - alpha) S'S and alpha X'X + (1 - alpha) S'T, dense."""
    x = binary(histories, n)
    source, target = prefixes(histories, n, options.decay, options.window)
    shared = options.alpha * (x.T @ x)
    left = shared + (1 - options.alpha) * (source.T @ source)
    right = shared + (1 - options.alpha) * (source.T @ target)
    return left.toarray().astype(np.float32), right.toarray().astype(np.float32)


def solve(gram, right, ridge):
    """B with a zero diagonal."""
    n = len(gram)
    matrix = np.asfortranarray(gram)
    matrix[np.diag_indices(n)] += ridge
    factor, info = lapack.spotrf(matrix, lower=1, overwrite_a=1)
    assert info == 0, "not positive definite"
    inverse, info = lapack.spotri(factor, lower=1, overwrite_c=1)
    assert info == 0, "singular"
    inverse = np.tril(inverse)
    inverse = inverse + inverse.T
    inverse[np.diag_indices(n)] /= 2
    weights = inverse @ right
    weights -= inverse * (np.diag(weights) / np.diag(inverse))[None, :]
    np.fill_diagonal(weights, 0)
    return weights


def timed(work):
    """What `work` returns, with wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, round(time.perf_counter() - wall, 2), round(time.process_time() - cpu, 2)


def main():
    parser = argparse.ArgumentParser(description="slist in numpy: time of the fit")
    parser.add_argument("file")
    parser.add_argument("--alpha", type=float, default=0.2)
    parser.add_argument("--decay", type=float, default=2.0)
    parser.add_argument("--window", type=int, default=14)
    parser.add_argument("--ridge", type=float, default=10.0)
    parser.add_argument("--repeat", type=int, default=1)
    options = parser.parse_args()

    histories, n = read_training(options.file)
    (gram, right), gram_wall, gram_cpu = timed(lambda: grams(histories, n, options))
    runs = []
    for _ in range(options.repeat):
        weights, wall, cpu = timed(lambda: solve(gram.copy(), right, options.ridge))
        runs.append((wall, cpu))
    wall, cpu = min(runs)
    print(json.dumps({
        "items": n - 1,
        "gram_seconds": gram_wall,
        "gram_cpu_seconds": gram_cpu,
        "solve_seconds": wall,
        "solve_cpu_seconds": cpu,
        "largest_weight": round(float(np.abs(weights).max()), 5),
    }))


if __name__ == "__main__":
    main()
