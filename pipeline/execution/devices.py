"""Select and check the devices of this machine for a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.config import Config
from pipeline.synthesis import check_settings


def local_devices(config: Config) -> list[str]:
    """Return one device per worker: the devices of the config, otherwise all GPUs, otherwise the CPU."""
    if config.executor.devices != "auto":
        return list(config.executor.devices)
    if config.engine.device != "auto":
        return [config.engine.device]
    import torch  # slow to import, and not needed by all executors

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]


def use_devices(config: Config, devices: Sequence[str]) -> Config:
    """Check the devices and return the config with them.

    Raises:
        ConfigError: A device is not available, or does not support the settings of `engine`.
    """
    for device in devices:
        check_settings(replace(config.engine, device=device))
    return replace(
        config,
        engine=replace(config.engine, device=devices[0]),
        executor=replace(config.executor, devices=list(devices)),
    )
