"""Earth mover distances between predicted and true words, as a loss of language models."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["EMOLoss", "demd"]


def demd(P: torch.Tensor, targets: torch.Tensor, embedding: torch.Tensor, *, logits: bool = False) -> torch.Tensor:
    """Transport cost of the independent coupling of word distributions, cost ``1 - cosine`` of embeddings.

    ``sum_ij P_i Q_j (1 - <e_i, e_j>) = 1 - <E'P, E'Q>`` in O(V d): the (V, V) costs are never formed. It is the
    earth mover distance where P or Q is one word, and an upper bound of it otherwise; it is no divergence,
    ``demd(P, P) > 0`` unless P is one word.

    Parameters
    ----------
    P : (..., V) tensor
        Probabilities, or logits.
    targets : (...) int tensor, or (..., V) tensor
        True words, or their distributions Q.
    embedding : (V, d) tensor
        One row per word; divided by its length here. A row of zeros (padding) costs 1 to and from every word.
    logits : bool
        Whether `P` holds logits.

    Returns
    -------
    (...) tensor, at least float32
        Differentiable by P, Q and the embedding.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit, and words outside the vocabulary.

    References
    ----------
    [ren:24]_.
    """
    _check_embedding(embedding, P)
    words = not targets.is_floating_point()
    if words:
        _check_words(P, targets, targets.new_ones((), dtype=torch.bool).expand(targets.shape))
    elif targets.shape != P.shape:
        raise ValueError(f"targets has shape {tuple(targets.shape)}; expected {tuple(P.shape)}, as P")
    with torch.autocast(device_type=P.device.type, enabled=False):
        E = functional.normalize(_wide(embedding), dim=-1)
        p = _wide(P).softmax(-1) if logits else _wide(P)
        if words:
            return p.sum(-1) - _mean_cosine(p, E, targets)
        q = _wide(targets)
        return p.sum(-1) * q.sum(-1) - ((p @ E) * (q @ E)).sum(-1)


class EMOLoss(nn.Module):
    """Cross entropy and earth mover distance of next-word predictions, ``(MLE + stopgrad(MLE / EMO) EMO) / 2``.

    The cross entropy does not care which wrong words were predicted; the transport cost of near synonyms is small.
    Both terms are scaled to one size, token by token, so that the *value* is the cross entropy, and the gradient
    is a mixture.

    Parameters
    ----------
    embedding : (V, d) tensor
        Where words are, usually the output embedding of the pretrained model. Copied, row-normalised, and never
        trained: a buffer of the module.
    ignore_index : int
        Targets that do not count.
    persistent : bool
        Whether the embedding is part of the ``state_dict``.

    References
    ----------
    [ren:24]_.

    Examples
    --------
    >>> import torch
    >>> from ot_solvers.layers.torch import EMOLoss
    >>> loss = EMOLoss(torch.eye(5))
    >>> logits = torch.zeros(2, 3, 5, requires_grad=True)
    >>> round(loss(logits, torch.tensor([[0, 1, 2], [3, 4, -100]])).item(), 4)
    1.6094
    """

    embedding: torch.Tensor

    def __init__(self, embedding: torch.Tensor, *, ignore_index: int = -100, persistent: bool = True):
        super().__init__()
        _check_embedding(embedding, None)
        frozen = functional.normalize(_wide(embedding.detach()), dim=-1)
        self.register_buffer("embedding", frozen.clone(), persistent=persistent)
        self.ignore_index = ignore_index

    def forward(
        self, logits: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Mean loss over the tokens that count; 0 where none does.

        Parameters
        ----------
        logits : (..., V) tensor
        targets : (...) int tensor
            The words that follow: causal models pass ``logits[:, :-1]`` and ``tokens[:, 1:]``.
        mask : (...) tensor, optional
            Weights of the tokens, or which ones count.

        Returns
        -------
        0-d tensor
        """
        mle, emo, weights = self.terms(logits, targets, mask)
        # Rounding may make a perfect prediction cheaper than nothing; its cross entropy is next to nothing too.
        ratio = (mle / emo.clamp(min=torch.finfo(emo.dtype).eps)).detach()
        total = weights.sum()
        loss = 0.5 * (weights * (mle + ratio * emo)).sum()
        return loss / torch.where(total > 0, total, torch.ones_like(total))

    def terms(self, logits: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor | None = None):
        """Cross entropy and transport cost of every token, and the tokens' weights: three (...) tensors."""
        _check_embedding(self.embedding, logits)
        counts = targets != self.ignore_index
        _check_words(logits, targets, counts)
        if mask is not None and mask.shape != targets.shape:
            raise ValueError(f"mask has shape {tuple(mask.shape)}; expected {tuple(targets.shape)}, as targets")
        known = torch.where(counts, targets, 0)
        with torch.autocast(device_type=logits.device.type, enabled=False):
            log_p = _wide(logits).log_softmax(-1)
            mle = -log_p.gather(-1, known[..., None]).squeeze(-1)
            emo = 1.0 - _mean_cosine(log_p.exp(), self.embedding.to(log_p.dtype), known)
        weights = counts.to(log_p.dtype) if mask is None else counts * mask.to(log_p.dtype)
        return mle, emo, weights

    def extra_repr(self) -> str:
        V, d = self.embedding.shape
        return f"words={V}, dim={d}, ignore_index={self.ignore_index}"


def _mean_cosine(p: torch.Tensor, E: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """``sum_i P_i <e_i, e_word>``, E row-normalised."""
    return ((p @ E) * functional.embedding(words, E)).sum(-1)


def _wide(x: torch.Tensor) -> torch.Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()


def _check_embedding(embedding: torch.Tensor, P: torch.Tensor | None) -> None:
    if embedding.dim() != 2 or embedding.numel() == 0:
        raise ValueError(f"embedding has shape {tuple(embedding.shape)}; expected (V, d)")
    if P is not None and (P.dim() == 0 or P.shape[-1] != embedding.shape[0]):
        raise ValueError(
            f"the last axis of predictions of shape {tuple(P.shape)} must have the {embedding.shape[0]} words of "
            "the embedding"
        )


def _check_words(P: torch.Tensor, targets: torch.Tensor, counts: torch.Tensor) -> None:
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise TypeError(f"targets has dtype {targets.dtype}; expected integers, the words")
    if targets.shape != P.shape[:-1]:
        raise ValueError(f"targets has shape {tuple(targets.shape)}; expected {tuple(P.shape[:-1])}")
    wrong = counts & ((targets < 0) | (targets >= P.shape[-1]))
    if not torch.compiler.is_compiling() and bool(wrong.any()):
        place = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"targets{place if place else ''} is {int(targets[tuple(place)])}; expected a word in "
            f"0 ... {P.shape[-1] - 1}"
        )
