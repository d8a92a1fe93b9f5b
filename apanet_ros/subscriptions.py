"""The receiving side: subscribes while somebody wants pairs, follows the cameras, and says why nothing pairs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from apanet_ros.camera_info import CameraInfoCache
from apanet_ros.guards import LOG_EVERY_S
from apanet_ros.parameters import NodeParameters
from apanet_ros.stereo_inputs import StereoInputs
from apanet_ros.stereo_sync import PairingCounts

SLEEP_AFTER_S = 2.0


class StereoSubscriptions:
    """Holds the subscriptions of a node while its pairs are wanted. For the executor's thread alone.

    Args:
        node: the rclpy node.
        on_pair: called with the left and the right image (`SerializedImage` or CompressedImage).
        check: raises ValueError for an image that is broken.
        on_refused: called with its side, "left" or "right", and that error.
        infos: where the CameraInfo of each side are kept.
        counts: of what is received and paired; outlives the subscriptions.
    """

    def __init__(
        self,
        node: Any,
        on_pair: Callable[[Any, Any], None],
        check: Callable[[Any], object],
        on_refused: Callable[[str, Exception], None],
        infos: dict[str, CameraInfoCache],
        counts: PairingCounts,
    ) -> None:
        self.inputs: StereoInputs | None = None  # None while asleep
        self._node = node
        self._on_pair = on_pair
        self._check = check
        self._on_refused = on_refused
        self._infos = infos
        self._counts = counts
        self.reset()

    def reset(self) -> None:
        """Forget when pairs were last wanted and last came."""
        self._wanted_at = -math.inf
        self._asleep_said = False
        self._begin_waiting()

    def update(self, p: NodeParameters, wanted: bool) -> None:
        """Subscribe, follow the parameters and the publishers' QoS, or sleep; to be called several times a second.

        Args:
            p: the node's parameters now.
            wanted: whether somebody wants pairs.
        """
        now = time.monotonic()
        if wanted:
            self._wanted_at = now
        if now - self._wanted_at > SLEEP_AFTER_S:
            self.unsubscribe()
            if not self._asleep_said:
                self._node.get_logger().info("nobody subscribes to derained/*: asleep until somebody does")
                self._asleep_said = True
        elif self.inputs is None:
            self._listen(p)
        else:
            self._follow(self.inputs, p)
            reason = self.pairing_problem()
            if reason:
                self._node.get_logger().warning(reason, throttle_duration_sec=LOG_EVERY_S)

    def unsubscribe(self) -> None:
        """Drop the subscriptions."""
        if self.inputs is not None:
            self.inputs.close()
            self.inputs = None

    def pairing_problem(self) -> str:
        """The reason, when there has been no pair for a while; else empty."""
        if self.inputs is None or time.monotonic() - self._waiting_since < LOG_EVERY_S:
            return ""
        return self.inputs.pairing_problem(self._received_before)

    def _begin_waiting(self) -> None:
        """A pair came, or waiting for one begins."""
        self._waiting_since, self._received_before = time.monotonic(), list(self._counts.received)

    def _paired(self, left: Any, right: Any) -> None:
        self._begin_waiting()
        self._on_pair(left, right)

    def _listen(self, p: NodeParameters) -> None:
        for infos in self._infos.values():
            infos.clear()  # the cameras may have been calibrated anew meanwhile
        self.inputs = StereoInputs(
            self._node,
            self._paired,
            self._check,
            self._on_refused,
            self._infos,
            p.pairing_tolerance_s,
            p.queue_size,
            p.input_reliability,
            p.image_transport == "compressed",
        )
        self.inputs.synchronizer.matcher.counts = self._counts
        self._asleep_said = False
        self._begin_waiting()
        self._node.get_logger().info(f"listening to {self.inputs.describe()}")

    def _follow(self, inputs: StereoInputs, p: NodeParameters) -> None:
        inputs.synchronizer.matcher.tolerance_ns = round(1e9 * p.pairing_tolerance_s)
        try:
            renewed = inputs.resubscribe_if_qos_changed()
        except Exception:
            self.inputs = None  # to begin anew
            raise
        if renewed:
            images, infos = inputs.reliability.name, inputs.info_reliability.name
            self._node.get_logger().info(f"subscribed again as the publishers are: images {images}, CameraInfo {infos}")
