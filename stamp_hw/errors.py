"""The one family of errors that a user can cause.

The command line prints such an error as one line and exits with code 2; any other exception is a bug of ours
and keeps its traceback.
"""


class StampError(Exception):
    """Bad input or a missing tool: what went wrong, where, what was found and what was expected.

    Parameters
    ----------
    what : what is wrong, in a few words
    where : file, key path, layer or field that holds it
    got : the offending value, as the user would recognise it
    expected : what would have been accepted, or the command that mends it
    """

    def __init__(self, what: str, *, where: str = "", got: object = None, expected: str = "") -> None:
        self.what, self.where, self.got, self.expected = what, where, got, expected
        parts = [f"{where}: {what}" if where else what]
        if got is not None:
            parts.append(f"got {got}")
        if expected:
            parts.append(f"expected {expected}")
        super().__init__(" ".join("; ".join(parts).split()))


class ConfigError(StampError):
    """A configuration that no hardware or job can have."""


class LayerError(StampError):
    """A layer whose tensors do not fit each other, are not finite, or do not fit the hardware."""


class TraceError(StampError):
    """A trace or checkpoint that is missing, truncated, hostile or not of this format."""


class ToolError(StampError):
    """An external tool that is missing, too old, or that failed."""


class OutputError(StampError):
    """A result that cannot be written."""
