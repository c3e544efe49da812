"""What the words on the page mean, where they stand: a note opens under the pointer, on focus and at a touch."""

import html

import gradio as gr

NOTES = {
    "seed": ("The seed", "The number from which the noise is drawn. The same seed and settings give the same picture."),
    "steps": (
        "Steps",
        "How often the network looks at the picture on the way from noise. More steps are finer and slower; "
        "from about 20 on little changes.",
    ),
    "guidance": (
        "Guidance",
        "How strongly the class, or the lead over a weaker model, is exaggerated. 1 is none; higher values are more "
        "typical and less varied, and double the work.",
    ),
    "sampler": (
        "The sampler",
        "The rule that makes a step out of a guess. DPM-Solver++ needs the fewest steps, DDPM is the original and adds "
        "new noise every step, Heun evaluates the network twice a step.",
    ),
    "t": ("t, the training step", "How noisy the picture is: 999 is pure noise, 0 the clean picture."),
    "snr": (
        "Signal / noise",
        "How much of the picture is left for each part of noise, as variances: below 1 there is more noise.",
    ),
    "nfe": (
        "Network evaluations",
        "How often the network was asked for each picture so far: the honest price of a run.",
    ),
    "alpha_bar": (
        "ᾱ (alpha-bar)",
        "The share of the picture's variance in the noisy picture: 1 is the clean picture, 0 is pure noise.",
    ),
}


def note(name: str) -> gr.HTML:
    """A question mark that opens the note of this name."""
    return gr.HTML(_words(name, "?"), elem_classes="note-mark", apply_default_css=False)


def notes(*names: str) -> gr.HTML:
    """A row of words to look up."""
    return gr.HTML("".join(_words(name) for name in names), elem_classes="note-row", apply_default_css=False)


def _words(name: str, shown: str | None = None) -> str:
    title, text = (html.escape(part) for part in NOTES[name])
    label = f' aria-label="{title}, explained"' if shown else ""
    return (
        f'<span class="lookup" tabindex="0" role="button"{label} aria-describedby="note-{name}">{shown or title}'
        f'<span class="lookup-text" role="tooltip"><b>{title}.</b> {text}</span></span>'
    )
