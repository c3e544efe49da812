"""Open diffdemo's page: python app.py [--host H] [--port P] [--device D] [--checkpoints DIR]; also a Space's entry."""

import gc

if __name__ == "__main__":
    # Until the page is up nothing becomes garbage, and looking for it would take a sixth of the start.
    gc.disable()
    from diffdemo.ui.page import main

    main()
