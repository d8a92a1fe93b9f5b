"""Fast DDS settings that deliver pairs of large images in time."""

from __future__ import annotations

import os
from pathlib import Path

PROFILE = Path(__file__).with_name("fastdds.xml")
USER_SETTINGS = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_BUILTIN_TRANSPORTS")


def prefer_large_shared_memory() -> None:
    """Give Fast DDS in this process shared memory for a few image pairs; call it before rclpy.init.

    With the built-in transports, one of two images published at once is often delivered a frame late
    (docs/decisions/007-shared-memory.md). Transports or another middleware chosen by the user are kept.
    """
    if os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") not in ("rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp"):
        return
    if any(os.environ.get(name) for name in USER_SETTINGS):
        return
    if os.environ.get("ROS_LOCALHOST_ONLY") == "1":  # on Humble, a profile with transports would override it
        return
    old = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")  # Fast DDS 2 reads only the old name
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE" if old else "FASTDDS_DEFAULT_PROFILES_FILE"] = str(PROFILE)
