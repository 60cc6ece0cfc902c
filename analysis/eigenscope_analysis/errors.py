"""The error of the package. Needs no other package, so that commands that read no results need none either."""


class SchemaError(ValueError):
    """Raised for a file that cannot be used, as one that is no result of eigenscope; the message is one sentence."""
