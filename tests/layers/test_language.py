"""The earth mover loss of language models: against exact transport, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the layers need torch")

import ot_solvers as ots  # noqa: E402
from ot_solvers.layers.torch import EMOLoss, demd  # noqa: E402

V, D = 9, 4


def made(seed=0, *shape, vocabulary=V):
    """Embedding, logits and words in float64."""
    rng = np.random.default_rng(seed)
    E = torch.from_numpy(rng.normal(size=(vocabulary, D)))
    logits = torch.from_numpy(rng.normal(size=(*shape, vocabulary)))
    return E, logits, torch.from_numpy(rng.integers(vocabulary, size=shape))


def costs(E):
    E = E / E.norm(dim=1, keepdim=True)
    return (1 - E @ E.T).clamp(min=0).numpy()


@pytest.mark.parametrize("seed", range(4))
def test_one_word_is_exact_transport(seed):
    E, logits, words = made(seed, 5)
    P = logits.softmax(-1)
    found = demd(P, words, E)
    for p, word, value in zip(P.numpy(), words, found):
        b = np.zeros(V)
        b[word] = 1.0
        assert float(value) == pytest.approx(float(ots.solve(costs(E), p, b)), abs=1e-9)
    one = torch.nn.functional.one_hot(words, V).double()
    torch.testing.assert_close(demd(P, one, E), found)
    torch.testing.assert_close(demd(logits, words, E, logits=True), found)


def test_two_distributions_are_bounded_by_it():
    E, logits, _ = made(1, 6)
    P = logits.softmax(-1)
    Q = P.flip(0)
    found = demd(P, Q, E)
    exact = [float(ots.solve(costs(E), p, q)) for p, q in zip(P.numpy(), Q.numpy())]
    assert (found.numpy() > np.array(exact) + 1e-3).all()
    assert (demd(P, P, E) > 0.1).all()  # no divergence
    double_sum = torch.einsum("ni,nj,ij->n", P, Q, torch.from_numpy(costs(E)))
    torch.testing.assert_close(found, double_sum)


def test_orthogonal_words_cost_what_is_missing():
    P = torch.tensor([[0.7, 0.2, 0.1]])
    assert float(demd(P, torch.tensor([0]), 5.0 * torch.eye(3))) == pytest.approx(0.3)


def test_gradients():
    E, logits, words = made(2, 2, 3)
    logits.requires_grad_()
    E.requires_grad_()
    assert torch.autograd.gradcheck(lambda z, e: demd(z, words, e, logits=True), (logits, E))
    Q = torch.softmax(logits.detach().flip(0), -1).requires_grad_()
    assert torch.autograd.gradcheck(lambda z, q: demd(z, q, E.detach(), logits=True), (logits, Q))


def test_value_is_the_cross_entropy_and_the_gradient_is_mixed():
    E, logits, words = made(3, 2, 4)
    logits.requires_grad_()
    loss = EMOLoss(E)
    value = loss(logits, words)
    (gradient,) = torch.autograd.grad(value, logits)
    mle = torch.nn.functional.cross_entropy(logits.flatten(0, 1), words.flatten(), reduction="none").view(2, 4)
    emo = demd(logits, words, E, logits=True)
    assert value.item() == pytest.approx(mle.mean().item())
    mixed = 0.5 * (mle + (mle / emo).detach() * emo).mean()
    torch.testing.assert_close(gradient, torch.autograd.grad(mixed, logits)[0])
    plain = torch.autograd.grad(torch.nn.functional.cross_entropy(logits.flatten(0, 1), words.flatten()), logits)[
        0
    ]
    assert (gradient - plain).abs().max() > 1e-3


def test_tokens_that_do_not_count():
    E, logits, words = made(4, 2, 4)
    loss = EMOLoss(E)
    alone = loss(logits[:, :3], words[:, :3])
    padded = words.clone()
    padded[:, 3] = -100
    torch.testing.assert_close(loss(logits, padded), alone)
    mask = torch.tensor([1, 1, 1, 0]).expand(2, 4)
    torch.testing.assert_close(loss(logits, words, mask), alone)
    half = loss(logits, words, torch.tensor([1.0, 1.0, 1.0, 0.5]).expand(2, 4))
    torch.testing.assert_close(half, (6 * alone + 0.5 * 2 * loss(logits[:, 3:], words[:, 3:])) / 7)
    nothing = loss(logits.requires_grad_(), torch.full_like(words, -100))
    assert nothing.item() == 0.0
    nothing.backward()
    assert torch.isfinite(logits.grad).all()


def test_a_perfect_prediction_has_finite_gradients():
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    value = EMOLoss(torch.randn(3, 8, generator=torch.Generator().manual_seed(0)))(logits, torch.tensor([0]))
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-6)
    assert torch.isfinite(logits.grad).all()


def test_the_embedding_is_a_frozen_buffer():
    E, logits, words = made(5, 3)
    E = torch.nn.Parameter(E)
    loss = EMOLoss(E)
    assert not list(loss.parameters())
    torch.testing.assert_close(loss.embedding.norm(dim=1), torch.ones(V, dtype=torch.float64))
    before = loss(logits, words)
    with torch.no_grad():
        E.mul_(-1).add_(1)
    torch.testing.assert_close(loss(logits, words), before, rtol=0, atol=0)
    other = EMOLoss(torch.ones(V, D, dtype=torch.float64))
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(other(logits, words), before)
    assert not EMOLoss(E, persistent=False).state_dict()
    assert repr(loss) == f"EMOLoss(words={V}, dim={D}, ignore_index=-100)"


def test_half_precision_is_computed_in_single():
    E, logits, words = made(6, 40)
    loss = EMOLoss(E.float())
    wide = loss(logits.bfloat16().float(), words)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = loss(logits.bfloat16(), words)
    assert narrow.dtype == torch.float32
    assert float(narrow) == pytest.approx(float(wide), rel=1e-6)


def test_large_vocabularies_take_linear_memory():
    """(V, V) costs would be 10^10 numbers."""
    E = torch.randn(100_000, 3, generator=torch.Generator().manual_seed(0))
    words = torch.tensor([7, 99_999])
    P = torch.zeros(2, 100_000)
    P[0, 7] = P[1, 0] = 1.0
    cosine = float(torch.nn.functional.cosine_similarity(E[:1], E[-1:]))
    np.testing.assert_allclose(demd(P, words, E).numpy(), [0.0, 1 - cosine], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda E, z, w: demd(z, w, E[0]), ValueError, r"embedding has shape \(4,\); expected \(V, d\)"),
        (lambda E, z, w: demd(z, w, E[1:]), ValueError, "must have the 8 words"),
        (lambda E, z, w: demd(z, w + V, E), ValueError, r"targets\[0\] is \d+; expected a word in 0 ... 8"),
        (lambda E, z, w: demd(z, z[:, :3], E), ValueError, r"targets has shape \(5, 3\)"),
        (lambda E, z, w: demd(z, w[:3], E), ValueError, r"targets has shape \(3,\); expected \(5,\)"),
        (lambda E, z, w: demd(z, w > 3, E), TypeError, "targets has dtype torch.bool"),
        (lambda E, z, w: EMOLoss(E)(z, w, w[:2]), ValueError, r"mask has shape \(2,\)"),
        (lambda E, z, w: EMOLoss(E)(z, torch.where(w == w[2], -3, w)), ValueError, r"targets\[\d\] is -3"),
        (lambda E, z, w: EMOLoss(E[:0]), ValueError, "embedding has shape"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(*made(7, 5))


def test_uniform_predictions_of_equal_words():
    loss = EMOLoss(torch.eye(4))
    assert float(loss(torch.zeros(3, 4), torch.tensor([0, 1, 2]))) == pytest.approx(math.log(4))
