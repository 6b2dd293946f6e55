"""A norm's division by its standard deviation in 16-bit integers, to their precision.

As the converter writes it, `x * rsqrt(mean(d * d) + epsilon)`, one step has to do for
the variances of all positions, the square of what it is for their values: of a dark
part of an image nothing is left, and epsilon is zero. So the first reciprocal root,
`r`, is taken for a guess, and what it makes is normalized once more:

    r = rsqrt(mean(d * d))
    x * r * rsqrt(mean((d * r) * (d * r)) + epsilon * r * r)

is the same for every `r`. The second mean is near 1, whatever the position. A variance
may also be the mean, or a sum, times a number: `n / (n - 1)`, or `1 / (n - 1)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .tflite_graph import OPERATORS, Graph

_STEPS = 32767
_REDUCTIONS = (OPERATORS.MEAN, OPERATORS.SUM)
# The steps of a variance below which the first reciprocal root stays as it is. LiteRT
# draws lines through every 128th reciprocal root, which are near in between for 32.
_LEAST_STEPS = 32
# What the second mean is at most, where the first reciprocal root is off by a fifth,
# and at least, where a variance is an eighth of a step.
_MOST_VARIANCE, _LEAST_VARIANCE = 2.0, 0.004
# A share of epsilon in the first variances' step below which it is not seen.
_LEAST_EPSILON = 1e-4


@dataclass(frozen=True)
class Norm:
    """A norm in a file.

    Attributes:
        reduction: The operator that takes the mean or the sum of the squares.
        deviations: What they are squares of.
        factor: The variance as a multiple of their mean.
        variance_step: What the file has for the step of the variance.
        epsilon: What is added to it.
        products: The operators that multiply by their reciprocal root.
    """

    reduction: Any
    deviations: int
    factor: float
    variance_step: float
    epsilon: float
    products: list[Any]


def find(graph: Graph, root: Any) -> Norm | None:
    """Returns the norm that a reciprocal root belongs to, if any.

    Args:
        graph: The file.
        root: An operator of the kind `RSQRT`.
    """
    added = graph.maker(int(root.inputs[0]))
    if added is None or graph.kind(added) != OPERATORS.ADD:
        return None
    variance, epsilon = _with_number(graph, added)
    products = graph.users(int(root.outputs[0]))
    are_products = all(
        graph.kind(user) == OPERATORS.MUL and len(set(map(int, user.inputs))) == 2
        for user in products
    )
    if epsilon is None or not are_products:
        return None
    factor, reduction = 1.0, graph.maker(variance)
    while reduction is not None and graph.kind(reduction) == OPERATORS.MUL:
        tensor, number = _with_number(graph, reduction)
        if number is None:
            return None
        factor, reduction = factor * number, graph.maker(tensor)
    if reduction is None or graph.kind(reduction) not in _REDUCTIONS:
        return None
    square = graph.maker(int(reduction.inputs[0]))
    if square is None or graph.kind(square) != OPERATORS.MUL:
        return None
    if len(set(map(int, square.inputs))) != 1:
        return None
    deviations = int(square.inputs[0])
    if graph.kind(reduction) == OPERATORS.SUM:
        factor *= _count(graph, deviations, int(reduction.outputs[0]))
    step = graph.step(variance)
    return Norm(reduction, deviations, factor, step, epsilon, products)


def _with_number(graph: Graph, operator: Any) -> tuple[int, float | None]:
    """Returns the tensor and the number that an operator adds or multiplies."""
    one, other = map(int, operator.inputs)
    if graph.is_constant(one):
        one, other = other, one
    if not graph.is_constant(other) or graph.values(other).size != 1:
        return one, None
    return one, float(graph.values(other).item())


def _count(graph: Graph, whole: int, reduced: int) -> float:
    """Returns of how many numbers each of a reduced tensor's is made."""
    return float(np.prod(graph.shape(whole)) / np.prod(graph.shape(reduced)))


def normalize(graph: Graph, norm: Norm, root: int) -> dict[int, list[Any]]:
    """Returns what takes the place of a norm's products, by the product's id.

    Args:
        graph: The file.
        norm: Which one.
        root: The tensor of the reciprocal roots, which is no longer used.
    """
    d, like = norm.deviations, int(norm.reduction.outputs[0])
    most = max(graph.step(int(each.outputs[0])) for each in norm.products) * _STEPS
    # What is divided by its own deviation is the root of their number at most.
    reach = min(2 * most, float(np.sqrt(1.5 * _count(graph, d, like))))
    step = norm.variance_step / norm.factor
    # Where the variance is less, the root need not be right.
    least = max(_LEAST_STEPS * step, norm.epsilon)

    def tensor(like: int, called: str, most: float) -> int:
        return graph.steps_like(like, called, most / _STEPS)

    variance = graph.steps_like(like, "mean", step)
    guess = tensor(like, "guess", 1 / np.sqrt(least))
    scaled = tensor(d, "scaled", reach)
    squares = tensor(d, "squares", reach**2)
    means = tensor(like, "means", _MOST_VARIANCE)
    made = [
        graph.mean(norm.reduction, int(norm.reduction.inputs[0]), variance),
        graph.conversion(OPERATORS.RSQRT, variance, guess),
        graph.product(d, guess, scaled),
        graph.product(scaled, scaled, squares),
        graph.mean(norm.reduction, squares, means),
    ]
    if norm.factor != 1.0:
        factor = graph.constant_step(like, "factor", norm.factor)
        variances = tensor(like, "variances", _MOST_VARIANCE * norm.factor)
        made.append(graph.product(means, factor, variances))
        means = variances
    most_epsilon = norm.epsilon / least
    if most_epsilon > _LEAST_EPSILON:
        guesses = tensor(like, "guesses", 1 / least)
        epsilons = tensor(like, "epsilons", most_epsilon)
        summed = tensor(like, "summed", _MOST_VARIANCE * norm.factor + most_epsilon)
        constant = graph.constant_step(like, "epsilon", norm.epsilon)
        made += [
            graph.product(guess, guess, guesses),
            graph.product(guesses, constant, epsilons),
            graph.sum(means, epsilons, summed),
        ]
        means = summed
    again = tensor(like, "again", 1 / np.sqrt(_LEAST_VARIANCE))
    made.append(graph.conversion(OPERATORS.RSQRT, means, again))
    places = {}
    for product in norm.products:
        (x,) = (t for t in map(int, product.inputs) if t != root)
        (output,) = map(int, product.outputs)
        near = scaled
        if x != d:
            # Not of the shape of x, which may be a scale for all positions.
            near = tensor(output, "scaled", 2 * most)
            made.append(graph.product(x, guess, near))
        places[id(product)] = [*made, graph.product(near, again, output)]
        made = []
    return places
