"""Functions of the user's files, and their failures in one sentence: for dump_activations.py and export_network.py."""
import contextlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback


class DumpError(Exception):
    """A failure, as one sentence."""


def place_of(error):
    """The innermost line of the user's code in an exception: " at model.py:12"."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if os.path.dirname(frame.filename) != os.path.dirname(__file__) and not re.search("-packages/|/lib/python|^<", frame.filename)]
    return f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""


@contextlib.contextmanager
def named(what):
    """Reports an exception of code of the user in one sentence."""
    try:
        yield
    except DumpError:
        raise
    except (Exception, SystemExit) as error:
        words = str(error).partition("\n")[0]
        raise DumpError(f"{what} failed: {type(error).__name__}{': ' if words else ''}{words}{place_of(error)}") from error


def function_of(place):
    """Returns the function "file.py:function" or "package.module:function"."""
    where, colon, name = place.rpartition(":")
    if not colon or not where or not name:
        raise DumpError(f"{place} does not name a function; write FILE.py:FUNCTION or MODULE:FUNCTION")
    if where.endswith(".py"):
        if not os.path.isfile(where):
            raise DumpError(f"there is no file {where}")
        folder = os.path.dirname(os.path.abspath(where))
        if folder not in sys.path:
            sys.path.insert(0, folder)  # for modules beside the file, as python3 FILE.py does
        spec = importlib.util.spec_from_file_location(os.path.basename(where)[:-3], where)
        module = importlib.util.module_from_spec(spec)
        with named(where):
            spec.loader.exec_module(module)
    else:
        sys.path.insert(0, os.getcwd())
        with named(f"importing {where}"):
            module = importlib.import_module(where)
    function = getattr(module, name, None)
    if not callable(function):
        others = [key for key, value in vars(module).items() if inspect.isfunction(value) and value.__module__ == module.__name__]
        raise DumpError(f"{where} has no function {name}; it has {', '.join(others) or 'none'}")
    return function
