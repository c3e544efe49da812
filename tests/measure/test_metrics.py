"""The mathematics of quality, against other implementations and against cases whose answer is known."""

import warnings

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_fid.fid_score import calculate_frechet_distance
from sentences import refused
from sklearn.neighbors import NearestNeighbors

from diffdemo.errors import RequestError
from diffdemo.measure import neighbours
from diffdemo.measure.metrics import Moments, class_agreement, frechet_distance, kernel_distance
from diffdemo.measure.neighbours import copying, nearest_neighbours, precision_recall

FEW = settings(max_examples=15)
SEEDS = st.integers(0, 2**32 - 1)


def features(seed: int, count: int = 60, width: int = 5, shift: float = 0.0) -> np.ndarray:
    """Correlated rows (count, width) float32."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) + shift).astype(np.float32)


@pytest.fixture
def old_sqrtm(monkeypatch):
    """pytorch-fid calls SciPy's sqrtm with an argument that SciPy 1.18 has no more."""
    sqrtm = scipy.linalg.sqrtm
    monkeypatch.setattr(scipy.linalg, "sqrtm", lambda matrix, disp=True: sqrtm(matrix) if disp else (sqrtm(matrix), 0))


@pytest.mark.parametrize("width", [3, 40])
def test_frechet_distance_is_that_of_pytorch_fid(width, old_sqrtm):
    a, b = features(1, 300, width), features(2, 200, width, shift=0.5)
    of = [(rows.astype(np.float64).mean(axis=0), np.cov(rows.astype(np.float64), rowvar=False)) for rows in (a, b)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs = calculate_frechet_distance(*of[0], *of[1])
    assert frechet_distance(a, b) == pytest.approx(theirs, rel=1e-6)
    assert frechet_distance(Moments.of(a), b) == frechet_distance(a, b)


def test_frechet_distance_of_two_known_gaussians():
    # With covariances that commute, the distance is |m_a - m_b|^2 + sum (s_a - s_b)^2 over the standard deviations.
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    a, b = (
        Moments.of_covariance(np.array(mean), rotation @ np.diag(np.square(deviations)) @ rotation.T)
        for mean, deviations in (([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]), ([2.0, 1.0, 0.0], [2.0, 0.0, 3.5]))
    )
    assert frechet_distance(a, b) == pytest.approx(8 + 1 + 4 + 0.25, rel=1e-12)


@FEW
@given(SEEDS, st.integers(2, 30))
def test_frechet_distance_is_a_distance(seed, count):
    """Also of fewer rows than numbers, where a square root of the covariances' product goes wrong."""
    a, b = features(seed, count, 12), features(seed + 1, count + 3, 12, shift=1.0)
    size = a.var(axis=0).sum()
    assert 0 <= frechet_distance(a, a) <= 1e-10 * size
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, a + 2) == pytest.approx(4 * 12, rel=1e-5)


@FEW
@given(SEEDS, st.integers(2, 9))
def test_kernel_distance_is_the_unbiased_mean_over_pairs(seed, count):
    a, b = (features(seed + k, count, 4, shift=k).astype(np.float64) for k in (0, 1))
    expected = 0.0
    for i in range(count):
        for j in range(count):
            if i != j:
                expected += sum((side[i] @ side[j] / 4 + 1) ** 3 for side in (a, b)) / (count * (count - 1))
            expected -= 2 * (a[i] @ b[j] / 4 + 1) ** 3 / count**2
    mean, spread = kernel_distance(a, b, subsets=3)
    assert mean == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert spread == pytest.approx(0, abs=1e-9 * max(1, abs(mean)))  # every subset is everything


def test_kernel_distance_draws_subsets_by_its_seed_and_is_around_zero_for_one_distribution():
    a, b = features(3, 400), features(3, 800)[400:]
    once = kernel_distance(a, b, subset_size=100)
    assert once == kernel_distance(a, b, subset_size=100) != kernel_distance(a, b, subset_size=100, seed=1)
    b = np.random.default_rng(0).permutation(a)
    assert abs(kernel_distance(a, b, subset_size=100)[0]) < 0.1 * kernel_distance(a, b + 1, subset_size=100)[0]


@pytest.mark.parametrize("exclude_self", [False, True])
def test_nearest_neighbours_are_those_of_scikit_learn(monkeypatch, exclude_self):
    monkeypatch.setattr(neighbours, "BLOCK", 17)  # several blocks, the last one shorter
    reference = features(4, 90, 8)
    rows = reference if exclude_self else features(5, 40, 8)
    distances, index = nearest_neighbours(rows, reference, 4, exclude_self)
    theirs = NearestNeighbors(n_neighbors=4).fit(reference).kneighbors(None if exclude_self else rows)
    np.testing.assert_allclose(distances, theirs[0], rtol=1e-5)
    np.testing.assert_array_equal(index, theirs[1])


def test_a_copy_is_at_distance_zero_however_large_the_features_are():
    reference = features(6, 50, 8) + 1e4
    distances, index = nearest_neighbours(reference[[7, 3]], reference, 1)
    assert distances.tolist() == [[0], [0]] and index.tolist() == [[7], [3]]


def plain_coverage(points: np.ndarray, centres: np.ndarray, k: int) -> float:
    covered = 0
    radii = [sorted(np.linalg.norm(centres - centre, axis=1))[k] for centre in centres]
    for point in points:
        covered += any(np.linalg.norm(point - c) <= radius for c, radius in zip(centres, radii, strict=True))
    return covered / len(points)


@FEW
@given(SEEDS, st.integers(1, 5), st.floats(0, 4))
def test_precision_and_recall_are_what_their_definition_says(seed, k, shift):
    samples, real = features(seed, 25).astype(float), features(seed + 1, 30, shift=shift).astype(float)
    expected = plain_coverage(samples, real, k), plain_coverage(real, samples, k)
    assert precision_recall(samples, real, k) == pytest.approx(expected)


def test_one_mode_is_precise_and_has_little_recall():
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(size=(100, 3)), rng.normal(size=(100, 3)) + 50])
    precision, recall = precision_recall(rng.normal(size=(200, 3)) * 0.5, real)
    assert precision > 0.9 and 0.2 < recall <= 0.5
    assert precision_recall(real, real) == (1, 1)


def test_copies_are_told_from_samples_that_are_only_alike():
    rng = np.random.default_rng(0)
    train, test, fresh = (rng.normal(size=(count, 6)) for count in (2000, 1000, 1000))
    of = {
        name: nearest_neighbours(rows, train)[0][:, 0]
        for name, rows in (("test", test), ("fresh", fresh), ("copies", train[:500] + 0.01))
    }
    shares = copying(of["fresh"], of["test"]).shares
    assert shares[0.05] == pytest.approx(0.05, abs=0.03) and shares[0.5] == pytest.approx(0.5, abs=0.06)
    half = copying(np.concatenate([of["fresh"][:500], of["copies"]]), of["test"])
    assert half.shares[0.05] == pytest.approx(0.525, abs=0.03) and half.median < half.test_median


def test_class_agreement_counts_what_was_asked_for():
    probabilities = np.array([[0.8, 0.2, 0], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0, 1, 0]])
    assert class_agreement(probabilities, [0, 0, 1, 1], ("cat", "dog", "ship")) == (0.75, {"cat": 0.5, "dog": 1.0})


@pytest.mark.parametrize(
    "ask, sentence",
    [
        (lambda a: frechet_distance(a, a[:, :3]), "as wide, not 5 with 3 numbers"),
        (lambda a: frechet_distance(a, a[:1]), r"2 or more rows .* shape \(1, 5\)"),
        (lambda a: frechet_distance(a, a * np.nan), "finite"),
        (lambda a: kernel_distance(a, a[:, :3]), "as wide"),
        (lambda a: nearest_neighbours(a, a, 60, exclude_self=True), "60 nearest neighbours cannot be had of 59"),
        (lambda a: nearest_neighbours(a, a[:, :3]), "as wide"),
        (lambda a: class_agreement(a, [0], "abcde"), "one label for each of 60"),
    ],
)
def test_what_does_not_compare_is_refused(ask, sentence):
    with refused(RequestError, sentence):
        ask(features(0))
