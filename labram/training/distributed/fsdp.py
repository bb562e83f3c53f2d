"""A model too large for one process: every rank keeps a share of each parameter, gradient and moment (FSDP2).

The rest of the training sees what it always sees. A parameter is a `DTensor`, whole in shape and a share in memory; a
transformer block is put together when it is computed and let go after it; gradients arrive added up over all ranks.
What is written is whole, so it does not matter how many ranks read it, or whether they share anything.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from labram.models.masked import MaskedModel
from labram.training.checkpoints import Tensors
from labram.training.distributed.process_group import Ranks


def shard(model: MaskedModel) -> None:
    """Share a model out to all ranks, in place, with the first's weights. Its parameters become other objects.

    Each rank must afterwards compute the loss as often as the others: the blocks are put together by all of them.
    """
    ranks = Ranks.here()
    ranks.copy_first(list(model.state_dict().values()))
    mesh = init_device_mesh(model.mask_token.device.type, (ranks.world,))
    for part in (*model.encoder.blocks, model):
        unit: FSDPModule = fully_shard(part, mesh=mesh, reshard_after_forward=True)
        unit.set_gradient_divide_factor(1.0)  # a sum: the loop has weighted each micro-batch by its share of the step
        unit.set_force_sum_reduction_for_comms(enable=True)  # gloo knows no scaled sum
    register_fsdp_forward_method(model, "loss")


def assembled(model: MaskedModel) -> MaskedModel:
    """A model of its own with the weights of a shared one, on the first rank's CPU; all ranks must ask for it."""
    whole_model, weights = MaskedModel(model.config), gathered(model.state_dict())
    if weights:
        whole_model.load_state_dict(weights)
    return whole_model.eval()


def replicated(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Those of which every rank has the whole."""
    return [tensor for tensor in tensors if not isinstance(tensor, DTensor)]


def whole(tensor: Tensor) -> Tensor:
    """The tensor put together; all ranks must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensors: Mapping[str, Tensor]) -> Tensors:
    """Whole copies in the host's memory, on the first rank; empty on the others. One at a time, to save the device's.

    All ranks must ask for the same tensors.
    """
    first, copies = Ranks.here().first, Tensors()
    for name, tensor in tensors.items():
        one = whole(tensor.detach())
        if first:
            copies[name] = one.to("cpu", copy=True)
    return copies


def share(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor on the device of another, and of it this rank's share where that one is shared out."""
    tensor = tensor.to(like.device)
    if isinstance(like, DTensor) and not isinstance(tensor, DTensor):
        return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
    return tensor
