"""What becomes of one pair: deraining, the rain level, the bypass, and what to do when the network fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from apanet_core.images import encodings
from apanet_core.images.encodings import RawImage
from apanet_core.images.sizes import check_sizes
from apanet_ros.bypass import SAMPLED_ROWS, DryBypass, rain_level
from apanet_ros.image_messages import ReceivedImage, decode_message
from apanet_ros.parameters import NodeParameters

Views = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class PairResult:
    """What to publish for a pair.

    Attributes:
        clean: left and right, or None: the pair passes untouched.
        level: rain level, the last measured while bypassed; None while nothing measures it.
        failure: why the network could not clean it; empty when nothing went wrong.
        bypassed: whether the pair passes because it is dry.
        size: height and width of the views in px.
    """

    clean: list[RawImage] | None = None
    level: float | None = None
    failure: str = ""
    bypassed: bool = False
    size: tuple[int, int] = (0, 0)

    @property
    def decision(self) -> str:
        """What became of the pair, for the log."""
        if self.failure:
            return f"passed through, {self.failure}"
        if self.bypassed:
            return "passed through as dry" + ("" if self.level is None else f", rain level {self.level:.2f}")
        return (
            "passed through, deraining is disabled" if self.clean is None else f"derained, rain level {self.level:.2f}"
        )


class PairProcessor:
    """Cleans pairs one by one. For the worker's thread alone.

    Args:
        derain: (H, W, 3) uint8 RGB views in, the same out.
        clock: seconds, monotonic.
    """

    def __init__(self, derain: Callable[[np.ndarray, np.ndarray], Views], clock: Callable[[], float] = time.monotonic):
        self._derain = derain
        self._bypass = DryBypass(clock)
        self._level: float | None = None

    def __call__(
        self, left: ReceivedImage, right: ReceivedImage, parameters: NodeParameters, enabled: bool = True
    ) -> PairResult:
        """Clean a pair.

        Args:
            left: checked already.
            right: likewise.
            parameters: in force.
            enabled: whether to clean it, or only to check that it is a pair.

        Returns:
            What to publish.

        Raises:
            ValueError: views of two sizes, or data that cannot be decoded.
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
        except Exception as error:  # noqa: BLE001 (an engine fails in its own types; the next pair may go well)
            reason = " ".join(str(error).split()) or type(error).__name__
            return PairResult(failure=f"the network failed: {reason}", size=size)
        self._level = rain_level(rainy, clean)
        if self._bypass.update(self._level, parameters):
            return PairResult(level=self._level, bypassed=True, size=size)
        answers = [encodings.encode(view, source) for view, source in zip(clean, sources)]
        return PairResult(answers, self._level, size=size)


def check_usable(rainy: Views, clean: Views) -> None:
    """Raise ValueError when the network's output cannot be an image of the input.

    One flat colour is what values that are not finite become on their way to uint8.
    """
    if len(clean) != 2:
        raise ValueError(f"expected two views, got {len(clean)}")
    for before, after in zip(rainy, clean):
        if after.shape != before.shape or after.dtype != np.uint8:
            raise ValueError(f"expected {before.shape} uint8, got {after.shape} {after.dtype}")
        rows = after[SAMPLED_ROWS]
        darkest, brightest, *_ = cv2.minMaxLoc(rows.reshape(rows.shape[0], -1))
        if darkest == brightest and np.ptp(before[SAMPLED_ROWS]) > 64:
            raise ValueError(f"its output is one flat colour, {darkest:.0f}, and its input is not")
