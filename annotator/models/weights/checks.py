"""What `annotator doctor` asks of this room: each check returns (ok, what was found, how to mend it)."""

from __future__ import annotations

Result = tuple[bool, str, str]


def torch_devices() -> Result:
    """torch, and the devices it can compute on."""
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        fix = "on a machine with an NVIDIA GPU, check that `nvidia-smi` works and that the driver fits CUDA"
        return True, f"torch {torch.__version__}, CPU only", f"{fix} {built}" if built else ""
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    try:
        total = float(torch.ones(2, device="cuda").sum())
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        return (
            False,
            f"torch {torch.__version__} sees {', '.join(names)} but cannot use it: {first}",
            ("update the NVIDIA driver, or run with --device cpu"),
        )
    return total == 2.0, f"torch {torch.__version__}, {', '.join(names)}", "restart the machine"


def operations() -> Result:
    """mmcv's operations work, whoever carries them out: one small NMS and one deformable convolution."""
    try:
        from annotator.models.openmmlab.mmlab import compiled_mmcv

        ours = not compiled_mmcv()
        import torch
        from mmcv.ops import deform_conv2d, nms

        boxes = torch.tensor([[0.0, 0, 10, 10], [1.0, 1, 10, 10], [20.0, 20, 30, 30]])
        kept = nms(boxes, torch.tensor([0.5, 0.9, 0.3]), 0.5)[1].tolist()
        picture, weight = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 1, 1)
        same = deform_conv2d(picture, torch.zeros(1, 2, 3, 3), weight)
        works = kept == [1, 2] and torch.equal(same, picture)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the installation is the finding
        first = (str(error).splitlines() or [""])[0]
        return False, f"{type(error).__name__}: {first}", "run `make setup` again"
    by = "torchvision" if ours else "a compiled mmcv"
    if not works:
        return (
            False,
            f"wrong results from {by}",
            "install the torchvision that belongs to this torch (`make setup`)",
        )
    return True, f"by {by}", ""
