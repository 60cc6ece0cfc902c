"""Words for counts, numbers and intervals in sentences."""
import numpy as np

from .statistics import ROUNDING
from .sweep import LISTED


def count(n, what):
    n = len(n) if hasattr(n, "__len__") else int(n)
    return f"{n} {what}{'s' if n != 1 else ''}"


def number(value, digits, sign=False):
    value = round(float(value), digits) + 0.0  # no negative zero
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def points_of(row):
    return f"{number(row['estimate'], 1, True)} percentage points"


def bounds(row, digits):
    if not np.isfinite(row["low"]):
        return ""
    if equal(row):
        return f" (equal in all {row['seeds']} seeds)"
    return f" (95 % over {row['seeds']} seeds: {number(row['low'], digits)} … {number(row['high'], digits)})"


def equal(row):
    """Whether the values of all seeds are equal, as accuracies of few samples may be: such an interval has no width and decides nothing."""
    return bool(row["high"] - row["low"] < ROUNDING)


def direction(row):
    """1 or −1 if the interval lies above or below 0, else 0; also 0 without an interval, or if all seeds are equal."""
    return 0 if equal(row) else int(row["low"] > ROUNDING) - int(row["high"] < -ROUNDING)


def listing(numbers):
    """The first numbers of a list, and how many more there are."""
    numbers = [str(n) for n in numbers]
    more = len(numbers) - LISTED
    return ", ".join(numbers[:LISTED]) + (f" and {more} more" if more > 0 else "")


def sentence(text):
    return text[:1].upper() + text[1:] + "." if text else ""
