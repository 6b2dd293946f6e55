"""Flags of `training.main` for runs of seconds, whatever images are labeled with."""


def tiny_flags(target):
    return [
        "--recipe=scratch_small",
        f"--set=target={target}",
        "--set=variant=test_convnext2",
        "--set=size_px=16",
        "--set=global_batch=8",
        "--set=epochs=3",
        "--set=warmup_epochs=0",
        "--set=ema_decay=none",
        "--set=keep=best",
        # Images of 16 px are seen as they are.
        "--set=evaluation_crop=squash",
    ]
