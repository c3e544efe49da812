"""Open diffdemo's page: python app.py [--host H] [--port P] [--device D] [--checkpoints DIR]; also a Space's entry."""

from diffdemo.ui.page import main

if __name__ == "__main__":
    main()
