"""Open diffdemo's page: python app.py [--host H] [--port P] [--device D] [--checkpoints DIR]; also a Space's entry."""

import gc
import sys
import tempfile

if __name__ == "__main__":
    from diffdemo.ui import options

    chosen = options.read()  # and its mistakes answered, before the seconds that PyTorch and Gradio take
    # Until the page is up nothing becomes garbage, and looking for it would take a sixth of the start.
    gc.disable()
    try:
        tempfile.gettempdir()
    except FileNotFoundError:  # which Gradio would meet while it is imported
        sys.exit("There is no place for temporary files; set TMPDIR to a folder that this user may write to.")
    from diffdemo.ui.page import serve

    serve(chosen)
