"""The page: `page.py` composes the tabs, one file each; everything they show comes from the package around it."""

import inspect
import os

# Before gradio is imported: with analytics on, it asks other hosts at launch.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"


def _import_gradio() -> None:
    """Import Gradio in half the time: without the stub files it writes beside the source of its own components.

    It writes none for a class whose source file Python cannot name, as of one that was typed at a prompt.
    """
    getfile = inspect.getfile

    def found(thing: object) -> str:
        if getattr(thing, "__module__", "").startswith("gradio."):
            raise OSError("not asked for")
        return getfile(thing)

    inspect.getfile = found
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = getfile


_import_gradio()
