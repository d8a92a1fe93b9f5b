"""Process one pair: deraining, rain level, bypass, and failures of the network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from apanet_core.images import encodings
from apanet_core.images.channel_order import as_stored
from apanet_core.images.encodings import RawImage
from apanet_core.images.sizes import check_sizes
from apanet_ros.bypass import SAMPLED_ROWS, DryBypass, rain_level
from apanet_ros.image_messages import ReceivedImage, decode_message
from apanet_ros.parameters import NodeParameters

Views = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class PairResult:
    """The result of processing a pair.

    Attributes:
        clean: derained left and right view; None if the network did not run or failed.
        level: rain level in grey levels, while bypassed the last measured one; None if not measured.
        failure: the error of the network; empty if it did not fail.
        bypassed: whether the pair passes unchanged because it is dry.
        size: height and width of the views in px.
    """

    clean: list[RawImage] | None = None
    level: float | None = None
    failure: str = ""
    bypassed: bool = False
    size: tuple[int, int] = (0, 0)

    @property
    def decision(self) -> str:
        """Return the decision about the pair as text, for the log."""
        if self.failure:
            return f"not derained, {self.failure}"  # `on_failure` passes the pair through or drops it
        if self.bypassed:
            return "passed through as dry" + ("" if self.level is None else f", rain level {self.level:.2f}")
        return (
            "passed through, deraining is disabled" if self.clean is None else f"derained, rain level {self.level:.2f}"
        )


class PairProcessor:
    """Processes one pair at a time; not thread-safe, only the worker's thread may call it.

    Args:
        derain: takes left and right (H, W, 3) uint8 RGB views, returns derained views of the same shape and type.
        clock: returns monotonic time in seconds.
    """

    def __init__(self, derain: Callable[[np.ndarray, np.ndarray], Views], clock: Callable[[], float] = time.monotonic):
        self._derain = derain
        self._bypass = DryBypass(clock)
        self._level: float | None = None

    def __call__(
        self, left: ReceivedImage, right: ReceivedImage, parameters: NodeParameters, enabled: bool = True
    ) -> PairResult:
        """Derain a pair, unless it is dry.

        Args:
            left: left view, checked by `receive`.
            right: right view, checked by `receive`.
            parameters: current node parameters.
            enabled: False only checks that both views have one size.

        Returns:
            The derained images, or the reason why the pair has none.

        Raises:
            ValueError: the sizes differ, or a view cannot be decoded.
        """
        size = left.size
        check_sizes(size, right.size)
        if not enabled:
            return PairResult(size=size)
        if not self._bypass.should_run(parameters):
            return PairResult(level=self._level, bypassed=True, size=size)
        sources = [decode_message(image.message) for image in (left, right)]
        rainy = encodings.decode(sources[0]), encodings.decode(sources[1])
        try:
            clean = self._derain(*rainy)
            check_usable(rainy, clean)
        except Exception as error:  # noqa: BLE001 (each engine has its exception types; the next pair may succeed)
            reason = " ".join(str(error).split()) or type(error).__name__
            return PairResult(failure=f"the network failed: {reason}", size=size)
        self._level = rain_level(rainy, clean)
        if self._bypass.update(self._level, parameters):
            return PairResult(level=self._level, bypassed=True, size=size)
        images = [encodings.encode(view, source) for view, source in zip(clean, sources)]
        return PairResult(images, self._level, size=size)


def check_usable(rainy: Views, clean: Views) -> None:
    """Raise ValueError if the network's output cannot be a derained image of the input.

    Values that are not finite become one flat colour in uint8, so that is refused unless the input is nearly flat too.
    """
    if len(clean) != 2:
        raise ValueError(f"expected two views, got {len(clean)}")
    for before, after in zip(rainy, clean):
        if after.shape != before.shape or after.dtype != np.uint8:
            raise ValueError(f"expected {before.shape} uint8, got {after.shape} {after.dtype}")
        rows = as_stored(after[SAMPLED_ROWS])
        darkest, brightest, *_ = cv2.minMaxLoc(rows.reshape(rows.shape[0], -1))
        if darkest == brightest and np.ptp(before[SAMPLED_ROWS]) > 64:
            raise ValueError(f"expected an image, got one flat colour, {darkest:.0f}: look for NaN in the network")
