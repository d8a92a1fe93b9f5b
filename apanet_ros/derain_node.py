"""The ROS 2 node: its lifecycle, parameters and services. `active_deraining` holds the work while it is active."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool

from apanet_core.missing import install_hint
from apanet_ros import node_parameters
from apanet_ros.active_deraining import ActiveDeraining, Configured
from apanet_ros.diagnostics import DiagnosticsPublisher
from apanet_ros.guards import LOG_EVERY_S, fail_transition_on_error, refuse_impossible_transitions
from apanet_ros.node_statistics import NodeStatistics
from apanet_ros.parameters import NodeParameters, help_lines
from apanet_ros.process import run
from apanet_ros.publishers import StereoPublishers
from apanet_ros.stereo_sync import PairingCounts
from apanet_ros.threads import TimedDerainer

if TYPE_CHECKING:
    from apanet_core import StereoDerainer

HELP = """usage: derain_node [--ros-args [-p NAME:=VALUE] [-r FROM:=TO] [--params-file FILE]]

Subscribes to rainy stereo pairs on left/image_rect and right/image_rect, publishes clean ones under derained/.
Parameters:"""


class DerainNode(LifecycleNode):
    """Subscribes to rainy stereo pairs and publishes clean ones with the same headers and CameraInfo.

    docs/node.md lists topics and services, docs/parameters.md parameters. All methods run in the executor's
    thread, but for `make_derainer` (the network's) and `_limits` (the worker's).

    Args:
        **options: keyword arguments for rclpy's LifecycleNode, such as parameter_overrides.

    Attributes:
        parameters: as last read; the threads of the node share them.
        enabled: whether pairs are derained: false passes them through.
        stopping: returns True when the process ends, and loading need not be waited for.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("derain", **options)
        refuse_impossible_transitions(self)
        node_parameters.declare(self)
        for given, meant in node_parameters.suggest_names(self).items():
            self.get_logger().warning(f"there is no parameter {given!r}: did you mean {meant!r}?")
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._cleanup = ExitStack()  # what on_configure makes, closed on cleanup
        self._active: ActiveDeraining | None = None
        self._loaded: dict[str, str] | None = None  # model, engine, device and precision that run; "auto" resolved
        self.enabled = True
        self._stats = NodeStatistics()
        self._counts = PairingCounts([0, 0])
        self.stopping: Callable[[], bool] = lambda: False

    @fail_transition_on_error
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the outputs."""
        try:
            p = self.read_parameters()
            derainer = TimedDerainer(partial(self.make_derainer, p), self._limits, self.stopping)
            self._cleanup.callback(
                self.close_or_warn,
                derainer.close,
                "the model is still in use (inference or compilation) and will be freed after it",
            )
            if p.warmup_width and p.warmup_height:
                derainer.warm_up(p.warmup_height, p.warmup_width)
        except Exception as error:  # noqa: BLE001 (a wrong parameter must not kill the process)
            if not self.stopping():
                self.get_logger().error(f"cannot configure: {error}{install_hint(error)}")
            self._cleanup.close()
            return TransitionCallbackReturn.FAILURE
        engine = derainer.engine
        self.get_logger().info(f"model {derainer.model} on {engine.name}, {engine.device}, {engine.precision}")
        outputs = StereoPublishers(self)
        self._cleanup.callback(outputs.close)
        loaded = {
            "model": derainer.model,
            "engine": engine.name,
            "device": engine.device,
            "precision": engine.precision,
        }
        reporter = DiagnosticsPublisher(self, self._counts, self._stats, loaded)
        self._cleanup.callback(reporter.close)
        self._configured = Configured(derainer, outputs, reporter, self._stats, self._counts)
        self._cleanup.callback(self.destroy_service, self.create_service(SetBool, "~/enable", self._on_enable))
        if not self.enabled:
            self.get_logger().info("deraining was off by ~/enable; it is on again")
        self._loaded, self.enabled = loaded, True
        return TransitionCallbackReturn.SUCCESS

    @fail_transition_on_error
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start processing pairs."""
        self._active = ActiveDeraining(self, self._configured)
        return super().on_activate(state)

    @fail_transition_on_error
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop processing pairs; the model stays loaded."""
        self._stop()
        return super().on_deactivate(state)

    @fail_transition_on_error
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and the outputs."""
        self._loaded = None
        self._cleanup.close()
        return TransitionCallbackReturn.SUCCESS

    @fail_transition_on_error
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything, from any state."""
        self._stop()
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to the unconfigured state after a failed transition."""
        return self.on_shutdown(state)

    def _stop(self) -> None:
        if self._active is not None:
            self._active.close()
            self._active = None

    def make_derainer(self, p: NodeParameters) -> StereoDerainer:
        """Load the model, in the network's thread."""
        from apanet_core import StereoDerainer  # here, since torch takes seconds to import

        return StereoDerainer(
            p.model, p.engine, p.device, p.precision, p.max_disparity, p.tile, p.tile_overlap, p.compiled
        )

    def _limits(self) -> tuple[float, float]:
        return self.parameters.network_timeout_s, self.parameters.first_pair_timeout_s

    def autostart(self) -> bool:
        """Configure and activate if the parameter `autostart` is true; return False if that failed."""
        if not self.get_parameter("autostart").value:
            return True
        done = TransitionCallbackReturn.SUCCESS
        return self.stopping() or bool(self.trigger_configure() == done and self.trigger_activate() == done)

    def read_parameters(self) -> NodeParameters:
        """Read all parameters; `parameters` holds them until the next call."""
        self.parameters = node_parameters.read(self)
        return self.parameters

    def close_or_warn(self, close: Callable[[], bool], otherwise: str) -> None:
        """Call `close`, and log `otherwise` as a warning if it returns False: not closed in time."""
        if not close():
            self.get_logger().warning(otherwise)

    def callback_failed(self, callback: str, error: Exception) -> None:
        """Count and log what a callback raised."""
        self._stats.add_failure(f"{callback}: {error}")
        self.get_logger().error(f"{callback} failed: {error}", throttle_duration_sec=LOG_EVERY_S)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self.enabled = request.data
        response.success = True
        response.message = "deraining" if self.enabled else "passing pairs through unchanged"
        self.get_logger().info(response.message)
        return response

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        return node_parameters.check_change(self, changes, self._loaded)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT, SIGTERM or a shutdown of the ROS context.

    Args:
        args: command line with ROS arguments; `sys.argv` if None.

    Returns:
        Exit code of the process: 0 after a clean end, 1 if the node could not start or rclpy keeps failing.
    """
    args = sys.argv if args is None else args
    if {"-h", "--help"} & set(args):
        print(HELP, *help_lines(), sep="\n")
        return 0
    return run(DerainNode, args)


if __name__ == "__main__":
    sys.exit(main())
