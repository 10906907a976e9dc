"""Softmax regression on colour histograms: what can be told without any shape or place.

An image of records is 8 x 8 x 8 RGB bins, the square root of each bin's share of its pixels.
Classes weigh the same; the L2 penalty is the one of `PENALTIES` with the highest macro recall on
another part. Losses are means, so that a penalty means the same with more images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from skinflow_jax.data.records import RecordSet
from skinflow_jax.evaluation.metrics import macro_recall

BINS = 8
PENALTIES = (1e-3, 1e-4, 1e-5)


@dataclass(frozen=True)
class Classifier:
    """Weights `[D + 1, C]`, the last row the bias, of the classes in order."""

    classes: np.ndarray
    weights: np.ndarray
    penalty: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The name of the likeliest class: `[N, D]` -> `[N]`."""
        return self.classes[_logits(self.weights, features).argmax(axis=1)]


def histogram(image: np.ndarray) -> np.ndarray:
    """uint8 `[H, W, 3]` -> `[512]`, whose squares sum to 1."""
    places = np.ravel_multi_index(tuple(image.reshape(-1, 3).T // (256 // BINS)), (BINS,) * 3)
    counts = np.bincount(places, minlength=BINS**3)
    return np.sqrt(counts / counts.sum())


def histograms(records: RecordSet) -> tuple[np.ndarray, np.ndarray]:
    """Of the first image of each record `[N, 512]`, and the diagnoses `[N]`."""
    found = [(histogram(record.images[0]), record.case.diagnosis) for record in records]
    features, labels = zip(*found, strict=True)
    return np.array(features), np.array(labels)


def fit(features: np.ndarray, labels: Sequence[str], penalty: float) -> Classifier:
    """The least of the class-balanced mean cross-entropy + penalty/2 · |W|², by L-BFGS."""
    classes, own = np.unique(labels, return_inverse=True)
    target = np.eye(len(classes))[own]
    share = target @ (1 / (target.sum(axis=0) * len(classes)))  # of each image, sums to 1
    shape = (features.shape[1] + 1, len(classes))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        logits = _logits(weights, features)
        logits -= logits.max(axis=1, keepdims=True)
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        change = (np.exp(log_probs) - target) * share[:, None]
        slope = np.vstack([features.T @ change + penalty * weights[:-1], change.sum(axis=0)])
        value = penalty / 2 * (weights[:-1] ** 2).sum() - share @ (target * log_probs).sum(axis=1)
        return value, slope.ravel()

    start = np.zeros(shape).ravel()
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return Classifier(classes, found.x.reshape(shape), penalty)


def fit_best(training: tuple, validation: tuple) -> Classifier:
    """Of `PENALTIES`, the best on `validation`; both are (features, labels)."""
    features, labels = validation

    def recall(classifier: Classifier) -> float:
        right = classifier.predict(features) == labels
        return macro_recall(labels, right).value

    return max((fit(*training, penalty) for penalty in PENALTIES), key=recall)


def _logits(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    return features @ weights[:-1] + weights[-1]


def joined(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of several parts as one."""
    features, labels = zip(*parts, strict=True)
    return np.concatenate(features), np.concatenate(labels)
