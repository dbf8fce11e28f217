"""System 2: from pictures and an instruction to the context that System 1 attends to. Slow, and never in its way."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import BundleError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.still_pictures import StillPictures
from so_arm_policy.core.values import CameraImage, Context, Image, JointSample
from so_arm_policy.policy.appearance import appearance
from so_arm_policy.policy.bundle import Bundle, check_robot
from so_arm_policy.policy.graphs import ORT_ERRORS
from so_arm_policy.policy.monitors import Monitors
from so_arm_policy.policy.preprocess import check_rgb, resize
from so_arm_policy.policy.providers import CPU, Provider

OUTPUTS = ("keys_values", "grounding", "attention")


class System2:
    """Runs a bundle's slow graph. Not thread-safe: one thread owns it."""

    def __init__(
        self,
        bundle: Bundle,
        robot: RobotConfig,
        threads: int = 1,
        provider: Provider = CPU,
        monitors: Monitors | None = None,
    ) -> None:
        """Open the graph. monitors: by default the bundle's.

        Raises BundleError when the bundle is not for `robot`, ConfigError without `provider`.
        """
        check_robot(bundle.manifest, robot)
        self._manifest = bundle.manifest
        self._robot = robot
        self._session = bundle.system2_session(threads, provider)
        self._tokenizer = bundle.tokenizer()
        self._monitors = monitors or bundle.monitors()
        self._still = StillPictures()
        self._tokens: tuple[str, npt.NDArray[np.int64]] | None = None
        self._sequence = 0
        self.last_grounding: FloatArray | None = None
        self.last_attention: npt.NDArray[np.float32] | None = None

    def reset(self) -> None:
        """Forget the pictures so far: what comes next may be another scene."""
        self._still = StillPictures()

    def encode(self, images: Mapping[str, CameraImage], instruction: str, sample: JointSample) -> Context:
        """Return the context of the newest `images` (by camera name, more than needed is fine), stamped by the oldest.

        Leaves `last_grounding`, (3,) m in the world frame: where the instruction's object is thought to be, and
        `last_attention`, (cameras, rows, columns). Raises InputError for a missing camera, a picture that is not the
        robot's size, a stamp of zero, an instruction it cannot read, joints that are not finite, or a camera whose
        picture stands still while the arm moves.
        """
        used = self._used(images, sample)
        self._still.check(used, sample.q)
        return self._encode(used, instruction, sample)

    def encode_again(self, images: Mapping[str, CameraImage], instruction: str, sample: JointSample) -> Context:
        """Return the context that was made of `images`, whatever came before. Raises InputError as `encode`."""
        return self._encode(self._used(images, sample), instruction, sample)

    def _used(self, images: Mapping[str, CameraImage], sample: JointSample) -> list[CameraImage]:
        """Return the pictures of the policy's cameras in its order, after a look at what else it is given."""
        used = [self._image(images, camera) for camera in self._manifest.cameras]
        if sample.q.shape != (len(self._manifest.joints),) or not np.isfinite(sample.q).all():
            raise InputError(f"joints: got {sample.q.tolist()}, expected {len(self._manifest.joints)} finite numbers")
        return used

    def _encode(self, used: list[CameraImage], instruction: str, sample: JointSample) -> Context:
        pictures = np.stack([self._picture(image) for image in used])
        feed: dict[str, npt.NDArray[Any]] = {
            "images": pictures,
            "tokens": self._encode_text(instruction),
            "state": sample.q.astype(np.float32),
        }
        began = time.perf_counter_ns()
        keys_values = self._run(feed)
        inference_ms = (time.perf_counter_ns() - began) / 1e6
        context = Context(
            bundle_id=self._manifest.id,
            sequence=self._sequence,
            stamp_ns=min(image.stamp_ns for image in used),
            instruction=instruction,
            keys_values=keys_values,
            image_stamps_ns=tuple(image.stamp_ns for image in used),
            observation_stamp_ns=sample.stamp_ns,
            inference_ms=inference_ms,
            novelty=self._novelty(pictures),
        )
        self._sequence += 1
        return context

    def _image(self, images: Mapping[str, CameraImage], camera: str) -> CameraImage:
        image = images.get(camera)
        if image is None:
            raise InputError(f"camera {camera!r}: got pictures of {sorted(images)}, expected one of it too")
        if image.stamp_ns <= 0:
            raise InputError(f"camera {camera!r}: got stamp {image.stamp_ns} ns, expected a time after zero")
        return image

    def _picture(self, image: CameraImage) -> Image:
        config = self._robot.camera(image.camera)
        check_rgb(image.rgb, (config.height, config.width), f"camera {image.camera!r}")
        return resize(image.rgb, self._manifest.image_height, self._manifest.image_width)

    def _novelty(self, pictures: npt.NDArray[np.uint8]) -> float:
        if self._monitors is None or self._monitors.looks is None:
            return 0.0
        return self._monitors.picture_novelty(np.stack([appearance(picture) for picture in pictures]))

    def _encode_text(self, instruction: str) -> npt.NDArray[np.int64]:
        if self._tokens is None or self._tokens[0] != instruction:
            self._tokens = (instruction, self._tokenizer.encode(instruction))
        return self._tokens[1]

    def _run(self, feed: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        try:
            keys_values, grounding, attention = self._session.run(OUTPUTS, feed)
        except ORT_ERRORS as error:
            raise BundleError(f"system2.onnx: got {error}, expected it to run") from error
        if not np.isfinite(keys_values).all():
            raise BundleError("system2.onnx: got keys_values that are not finite, expected finite ones")
        keys_values.setflags(write=False)
        self.last_grounding = grounding.astype(np.float64)
        self.last_attention = attention
        return keys_values
