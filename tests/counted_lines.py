"""How much Python a call runs: time, but the same on every machine."""

import sys


def lines_run(function, text):
    """Lines of Python that `function` runs for `text`."""
    count = 0

    def count_line(frame, event, argument):
        nonlocal count
        count += event == "line"
        return count_line

    before = sys.gettrace()
    sys.settrace(count_line)
    try:
        function(text)
    finally:
        sys.settrace(before)
    return count
