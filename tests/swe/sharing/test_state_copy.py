"""What a copied state holds: nothing of its parent's, save what is common to all."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from swe.sharing.state_copy import child_state, common_objects, parts


def pair() -> tuple[nn.Parameter, nn.Parameter]:
    parent = nn.Parameter(torch.arange(6.0).reshape(2, 3))
    return parent, copy.deepcopy(parent)


def test_views_of_the_parameter_become_the_childs() -> None:
    """At the same place of memory, whatever their shape: what is written there is read there."""
    parent, child = pair()
    state: dict[str, Any] = {
        "itself": parent,
        "data": parent.data,
        "column": parent.detach()[:, 1],
        "bits": parent.detach().view(torch.int32)[1:],
        "nested": [(parent.detach().t(), None)],
    }
    copied = child_state(state, parent, child)
    with torch.no_grad():
        child.mul_(2)
    assert copied["itself"] is child
    assert torch.equal(copied["data"], 2 * parent)
    assert torch.equal(copied["column"], 2 * parent[:, 1])
    assert torch.equal(copied["bits"], child.detach().view(torch.int32)[1:])
    assert torch.equal(copied["nested"][0][0], 2 * parent.t())
    assert torch.equal(state["data"], torch.arange(6.0).reshape(2, 3))


def test_two_views_of_one_buffer_stay_so() -> None:
    parent, child = pair()
    buffer = torch.zeros(4)
    copied = child_state({"all": buffer, "last": [buffer[3:]]}, parent, child)
    copied["all"].fill_(1)
    assert copied["last"][0].item() == 1
    assert buffer.sum() == 0


def test_one_small_view_does_not_copy_its_buffer() -> None:
    parent, child = pair()
    copied = child_state({"part": torch.zeros(1000)[10:13]}, parent, child)
    assert copied["part"].untyped_storage().nbytes() == 3 * 4


def test_what_several_states_hold_stays_common() -> None:
    parent, child = pair()
    other = nn.Parameter(torch.ones(2))
    count, levels, own = torch.zeros(()), torch.linspace(0, 1, 16), [torch.zeros(2)]
    states: dict[Tensor, dict[str, Any]] = {
        parent: {"count": count, "levels": levels, "own": own, "next": other},
        other: {"count": count, "next": parent},
    }
    copied = child_state(states[parent], parent, child, common_objects(states, [{"map": levels}]))
    assert copied["count"] is count
    assert copied["levels"] is levels
    assert copied["next"] is other
    assert copied["own"] is not own
    assert copied["own"][0] is not own[0]


class Holder:
    def __init__(self, value: Tensor) -> None:
        self.value = value


def test_objects_and_results_of_a_graph_are_copied() -> None:
    """A projector object as in GaLore; a moment made without no_grad, which deepcopy refuses."""
    parent, child = pair()
    state: dict[str, Any] = {
        "projector": Holder(torch.ones(3)),
        "moment": parent * 2,
        "none": None,
        "k": 3,
    }
    copied = child_state(state, parent, child)
    assert copied["projector"].value is not state["projector"].value
    assert torch.equal(copied["moment"], parent * 2)
    assert (copied["none"], copied["k"]) == (None, 3)
    ids = {id(part) for part in parts(state)}
    assert ids.isdisjoint(id(part) for part in parts(copied))
