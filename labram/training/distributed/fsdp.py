"""Model sharding with PyTorch's FSDP2: each rank holds a shard of every parameter, gradient and optimiser moment.

A sharded parameter is a `DTensor`, which has the full shape and stores one shard. A transformer block is gathered for
its forward and backward pass and freed afterwards; gradients are reduced over all ranks. Checkpoints and models are
written unsharded, so any number of ranks can read them.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from labram.models.masked import MaskedModel
from labram.training.checkpoints import Tensors
from labram.training.distributed.process_group import ProcessGroup


def shard_model(model: MaskedModel) -> None:
    """Shard a model over all ranks, in place, with the weights of rank 0. Its parameters are replaced.

    Afterwards every rank must compute the loss equally often, because gathering a block is a collective.
    """
    group = ProcessGroup.current()
    group.broadcast(list(model.state_dict().values()))
    mesh = init_device_mesh(model.mask_token.device.type, (group.world_size,))
    for part in (*model.encoder.blocks, model):
        unit: FSDPModule = fully_shard(part, mesh=mesh, reshard_after_forward=True)
        unit.set_gradient_divide_factor(1.0)  # a sum: the loop has weighted each micro-batch by its share of the step
        unit.set_force_sum_reduction_for_comms(enable=True)  # gloo has no scaled sum
    register_fsdp_forward_method(model, "loss")


def unsharded_copy(model: MaskedModel) -> MaskedModel:
    """Return a CPU copy of a sharded model, with weights on rank 0 only. A collective."""
    full_model, weights = MaskedModel(model.config), gather_on_main(model.state_dict())
    if weights:
        full_model.load_state_dict(weights)
    return full_model.eval()


def replicated_tensors(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Return the tensors that are not sharded."""
    return [tensor for tensor in tensors if not isinstance(tensor, DTensor)]


def full_tensor(tensor: Tensor) -> Tensor:
    """Return the unsharded tensor. A collective if the tensor is sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather_on_main(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return unsharded copies in the CPU memory of rank 0, and an empty mapping on the other ranks. A collective.

    Tensors are gathered one at a time to save device memory.
    """
    is_main, copies = ProcessGroup.current().is_main, Tensors()
    for name, tensor in tensors.items():
        full = full_tensor(tensor.detach())
        if is_main:
            copies[name] = full.to("cpu", copy=True)
    return copies


def shard_like(tensor: Tensor, like: Tensor) -> Tensor:
    """Move a tensor to the device of `like`, and shard it if `like` is sharded."""
    tensor = tensor.to(like.device)
    if isinstance(like, DTensor) and not isinstance(tensor, DTensor):
        return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
    return tensor
