"""Components of the page that Gradio does not have: Python beside its own .js and .css file."""
