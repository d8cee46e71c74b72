"""The deep linear network of the paper: product, loss and layer gradients.

W_L W_{L-1} .. W_1 is trained towards Phi, with R = 1/2 ||W_L .. W_1 - Phi||_F^2. Weights are one
array (..., L, d, d) with weights[..., 0, :, :] = W_1, the layer applied first; leading axes are a
batch. Reference: Yang et al., arXiv 2110.03848, the theory section (Theorems 1 to 4).
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.numerics.domain import Array, as_finite


def end_to_end(weights: ArrayLike) -> Array:
    """The product W_L .. W_1 of weights (..., L, d, d); shape (..., d, d).

    ValueError naming the argument for a bad shape or a non-finite entry.
    """
    layers = _as_weights(weights)
    product = layers[..., 0, :, :]
    for layer in range(1, layers.shape[-3]):
        product = layers[..., layer, :, :] @ product
    return product


def loss(weights: ArrayLike, target: ArrayLike) -> Array:
    """R = 1/2 ||W_L .. W_1 - Phi||_F^2; weights (..., L, d, d), target (..., d, d), result (...).

    The loss of Theorems 1 to 4. ValueError naming the argument for a bad shape or entry.
    """
    residual = end_to_end(weights) - as_finite("target", target)
    return np.asarray(0.5 * np.sum(residual**2, axis=(-2, -1)))


def layer_gradients(weights: ArrayLike, target: ArrayLike) -> Array:
    """dR/dW_l = (W_L .. W_{l+1})^T (W_L .. W_1 - Phi) (W_{l-1} .. W_1)^T for every layer l.

    weights (..., L, d, d), target (..., d, d); the result has the shape of weights. Prefix and
    suffix products make the whole O(L d^3); one product per layer would be O(L^2 d^3). Batched.
    ValueError naming the argument for a bad shape or entry.
    """
    layers = _as_weights(weights)
    depth = layers.shape[-3]
    residual_from_left = np.empty_like(layers)  # (W_L .. W_{l+1})^T residual
    before = np.empty_like(layers)  # W_{l-1} .. W_1
    before[..., 0, :, :] = np.eye(layers.shape[-1])
    for layer in range(1, depth):
        before[..., layer, :, :] = layers[..., layer - 1, :, :] @ before[..., layer - 1, :, :]
    product = layers[..., -1, :, :] @ before[..., -1, :, :]
    residual_from_left[..., -1, :, :] = product - as_finite("target", target)
    for layer in range(depth - 2, -1, -1):
        above = np.swapaxes(layers[..., layer + 1, :, :], -2, -1)
        residual_from_left[..., layer, :, :] = above @ residual_from_left[..., layer + 1, :, :]
    gradients: Array = residual_from_left @ np.swapaxes(before, -2, -1)
    return gradients


def _as_weights(weights: ArrayLike) -> Array:
    layers = as_finite("weights", weights)
    if layers.ndim < 3 or layers.shape[-3] < 1 or layers.shape[-1] != layers.shape[-2]:
        raise ValueError("weights must have shape (..., L, d, d) with L >= 1")
    return layers
