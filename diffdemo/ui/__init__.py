"""The page: `page.py` composes the tabs, one file each; everything they show comes from the package around it."""

import os

# Before gradio is imported: with analytics on, it asks other hosts at launch.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
