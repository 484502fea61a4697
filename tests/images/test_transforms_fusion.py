"""A fused chain gives the values of the chain on the same draws, and fuses what its module says."""

from __future__ import annotations

import json

import pytest
import torch

from neuronatlas.images.transforms import (
    Affine,
    Blur,
    Chain,
    Crops,
    Flip,
    Fused,
    Jitter,
    Noise,
    Pad,
    Part,
    Rotate,
    Scale,
    fuse,
    transform_of,
)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_chain(seed: int) -> Chain:
    """Two to six members, of which about two thirds move whole pixels."""
    stream = generator(seed)

    def any_of(*options: Part) -> Part:
        return options[int(torch.randint(len(options), (1,), generator=stream))]

    def member() -> Part:
        whole = any_of(
            Pad(3), Pad(2, value=0.2), Pad(2, "reflect"), Jitter(2), Jitter(3, shared=True), Flip(), Flip(shared=True)
        )
        between = any_of(
            Affine(), Affine(shared=True), Rotate(40.0), Rotate(30.0, value=0.2), Rotate(mode="edge"),
            Rotate(20.0, mode="mirror", shared=True), Scale(0.7, 1.4), Crops(count=2, low=0.6, high=1.0, size=15), Noise(),
        )  # fmt: skip
        return any_of(whole, whole, between)

    return Chain(tuple(member() for _ in range(2 + seed % 5)))


def runs(transform: Part) -> list[int]:
    """How many members each fused run has."""
    parts = transform.parts if isinstance(transform, Chain) else (transform,)
    return [len(part.parts) for part in parts if isinstance(part, Fused)]


@pytest.mark.parametrize("size", [(24, 24), (18, 31), (40, 17)])
def test_random_chains_keep_their_values_and_their_gradients(size: tuple[int, int]) -> None:
    fused = 0
    for seed in range(100):
        chain = random_chain(seed)
        quick = fuse(chain)
        lengths = runs(quick)
        fused += len(lengths)
        if not lengths:
            assert quick == chain
            continue
        assert quick.columns == chain.columns
        assert (quick.views, quick.shared) == (chain.views, chain.shared)
        draws = chain.draw(3, generator(seed))
        assert torch.equal(quick.draw(3, generator(seed)), draws)
        images = torch.rand((3, 2, *size), generator=generator(seed)).requires_grad_(True)
        slow, found = chain(images, draws), quick(images, draws)
        torch.testing.assert_close(found, slow, rtol=0, atol=1e-5, msg=json.dumps(chain.settings))
        weights = torch.rand(slow.shape, generator=generator(seed + 1))
        before, after = (torch.autograd.grad((out * weights).sum(), images)[0] for out in (slow, found))
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    assert fused > 40


@pytest.mark.parametrize(
    ("parts", "lengths"),
    [
        ((Pad(12), Jitter(8), Rotate(), Jitter(4)), [4]),
        ((Pad(12), Jitter(8), Scale(), Jitter(4)), [4]),  # the last pixel is the frame's
        ((Pad(2), Pad(2), Jitter(4), Rotate()), [4]),
        ((Flip(), Affine()), [2]),
        ((Affine(), Jitter(3), Flip()), [3]),
        ((Pad(2), Crops(), Jitter(3)), [3]),
        ((Pad(2), Rotate(mode="edge")), [2]),
        ((Noise(), Flip(), Affine(), Blur(), Affine(), Flip()), [2, 2]),
        ((Pad(12), Scale(), Rotate(), Jitter(4)), [2, 2]),  # two interpolations stay two
        ((Jitter(2), Pad(2), Rotate()), [2]),  # the cut stays
        ((Pad(2, value=0.1), Pad(2), Rotate()), [2]),  # the frame of another value stays
        ((Rotate(), Pad(2), Jitter(1)), []),
        ((Affine(), Affine()), []),
        ((Pad(2), Jitter(3), Rotate()), []),  # it may cut the picture
        ((Pad(2), Jitter(2), Scale()), []),  # the frame may be gone
        ((Pad(2), Rotate(value=0.0)), []),
        ((Pad(2), Rotate(mode="mirror")), []),
        ((Pad(2), Affine()), []),
        ((Pad(2, "reflect"), Rotate()), []),
        ((Jitter(2), Affine()), []),
        ((Pad(3), Jitter(2), Flip()), []),  # nothing interpolates
        ((Affine(),), []),
        ((), []),
    ],
    ids=lambda value: " ".join(type(part).__name__ for part in value) if isinstance(value, tuple) else None,
)
def test_what_fuses(parts: tuple[Part, ...], lengths: list[int]) -> None:
    quick = fuse(Chain(parts))
    assert runs(quick) == lengths
    assert isinstance(quick, Fused) == (lengths == [len(parts)])


@pytest.mark.parametrize(
    "parts",
    [
        (Pad(2), Jitter(3), Rotate(60.0)),
        (Pad(2), Rotate(60.0, mode="mirror")),
        (Pad(2), Affine(degrees=60.0)),
        (Jitter(5), Affine(shift=9.0)),
        (Rotate(60.0), Rotate(60.0)),
    ],
    ids=lambda parts: " ".join(type(part).__name__ for part in parts),
)
def test_what_does_not_fuse_would_give_other_values(parts: tuple[Part, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule is no stricter than it must be: one sampling in their place is another picture."""
    monkeypatch.setattr(Fused, "__post_init__", lambda self: None)
    images = torch.rand((3, 2, 20, 24), generator=generator(0))
    draws = Chain(parts).draw(3, generator(1))
    draws[:, -1] = 0.9
    assert (Fused(parts)(images, draws) - Chain(parts)(images, draws)).abs().max() > 0.05


def test_chains_within_a_chain_fuse_on_their_own() -> None:
    chain = Chain((Chain((Flip(), Affine())), Noise(), Chain((Blur(), Chain((Pad(1), Rotate()))))))
    quick = fuse(chain)
    assert quick == Chain((Fused((Flip(), Affine())), Noise(), Chain((Blur(), Fused((Pad(1), Rotate()))))))
    images, draws = torch.rand((2, 3, 16, 20), generator=generator(0)), chain.draw(2, generator(1))
    torch.testing.assert_close(quick(images, draws), chain(images, draws), rtol=0, atol=1e-5)


def test_views_keep_draws_of_their_own_beside_a_shared_member() -> None:
    chain = Chain((Crops(count=6, size=14), Noise(0.01), Flip(), Scale(), Flip()))
    quick = fuse(chain)
    assert quick == Chain((Crops(count=6, size=14), Noise(0.01), Fused((Flip(), Scale(), Flip()))))
    images, draws = torch.rand((2, 3, 16, 20), generator=generator(0)), chain.draw(2, generator(1))
    torch.testing.assert_close(quick(images, draws), chain(images, draws), rtol=0, atol=1e-5)


def test_a_fused_chain_is_written_down_and_made_again() -> None:
    quick = fuse(Chain((Pad(2), Jitter(1), Rotate(), Noise())))
    assert transform_of(json.loads(json.dumps(quick.settings))) == quick


@pytest.mark.parametrize("transform", [Affine(), Chain(), fuse(Chain((Flip(), Affine()))), Chain((Noise(), Jitter(2)))])
def test_what_has_no_run_left_stays_as_it_is(transform: Part) -> None:
    assert fuse(transform) == transform


def test_double_precision_leaves_no_difference() -> None:
    chain = Chain((Pad(12), Jitter(8), Rotate(choices=(-10.0, 0.0, 7.0)), Jitter(4), Flip()))
    images = torch.rand((4, 3, 90, 128), generator=generator(0), dtype=torch.float64)
    draws = chain.draw(4, generator(1))
    torch.testing.assert_close(fuse(chain)(images, draws), chain(images, draws), rtol=0, atol=1e-12)
