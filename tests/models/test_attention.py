"""Attention in pieces equals attention in one."""

import pytest
import torch
from torch.nn import functional

from labram.models import attention


def _heads(precision):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 40, 20, generator=generator).to(precision).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize("at_once", [1, 2 * 40**2, 2**20], ids=["one_head", "two_heads", "all_heads"])
def test_reduced_precision_on_the_cpu_equals_float32(monkeypatch, at_once):
    monkeypatch.setattr(attention, "SCORES_AT_ONCE", at_once)
    reduced, exact = _heads(torch.bfloat16), [x.detach().float().requires_grad_() for x in _heads(torch.bfloat16)]
    weights = torch.randn(2, 3, 40, 20, generator=torch.Generator().manual_seed(1))
    found, expected = attention.attend(*reduced), functional.scaled_dot_product_attention(*exact)
    torch.testing.assert_close(found.float(), expected, atol=2e-2, rtol=2e-2)
    (found.float() * weights).sum().backward()
    (expected * weights).sum().backward()
    for one, other in zip(reduced, exact, strict=True):
        torch.testing.assert_close(one.grad.float(), other.grad, atol=3e-2, rtol=3e-2)


def test_scores_that_no_exponential_could_hold():
    reduced = [
        x.detach().mul(factor).requires_grad_() for x, factor in zip(_heads(torch.bfloat16), (40, 40, 1), strict=True)
    ]
    exact = [x.detach().double().requires_grad_() for x in reduced]
    found, expected = attention.attend(*reduced), functional.scaled_dot_product_attention(*exact)
    assert found.isfinite().all()
    # Scores of some hundreds are rounded to whole numbers: compare where one key outweighs the others.
    clear = (functional.one_hot((exact[0] @ exact[1].mT).argmax(-1), 40).double() @ exact[2] - expected).abs().amax(
        -1
    ) < 1e-3
    assert clear.float().mean() > 0.5
    torch.testing.assert_close(found.double()[clear], expected[clear], atol=2e-2, rtol=2e-2)
    found.float().sum().backward()
    assert all(x.grad.isfinite().all() for x in reduced)


def test_the_operator_keeps_the_rules_of_pytorch():
    q, k, v = (x.detach().flatten(0, 1).requires_grad_() for x in _heads(torch.bfloat16))
    torch.library.opcheck(attention._attend, (q, k, v), test_utils=("test_schema", "test_faketensor"))
