"""Named errors. Each message says what was got and what was expected."""


class SoArmError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(SoArmError):
    """A configuration, parameter or command-line value cannot be used."""


class ShapeError(SoArmError):
    """An array has the wrong shape, type or a value that is not finite."""


class InputError(SoArmError):
    """A message, image, instruction or file from outside cannot be used."""


class PictureFrozen(InputError):  # noqa: N818 - said of the camera
    """A camera repeats a picture while the arm moves."""


class BundleError(SoArmError):
    """A policy bundle is incomplete, altered or does not fit this robot."""


class ChunkExpired(SoArmError):  # noqa: N818 - an event in the life of a chunk, not a mistake
    """A chunk was asked for a time after its last target."""


class DeviceError(SoArmError):
    """A camera, bus or other device is absent or stopped answering."""
