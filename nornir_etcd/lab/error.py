"""The lab's one error."""


class LabError(Exception):
    """The lab cannot do what was asked; one line that says what, why and what to do."""
