"""What people take away from a run on display: files, the command and the Python that repeat it, a link."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from gradio.events import Dependency

from diffdemo.ui.parts import tour, wiring
from diffdemo.ui.runs import compare_link, reproduce
from diffdemo.ui.runs.recordings import KINDS, Recordings
from diffdemo.ui.runs.sampling_run import SamplingRun
from diffdemo.ui.runs.settings import IN_A_LINK, OF_ONE_TAB, POINTS, TAB, link

# The step on display, counted from 1.
STEP = 'Number(document.querySelector("#generate-viewer .viewer")?.dataset.shown) + 1 || undefined'
# Gradio's own DownloadButton has its file only at the second click.
SAVE = """(file) => {
    const anchor = document.createElement("a");
    anchor.href = file.url;
    anchor.download = file.orig_name;
    anchor.click();
}"""
SPACE = os.environ.get("SPACE_ID", "")
# Only the browser knows the address that people see, behind whatever proxies. What is no setting stays in it. On a
# hosted Space that is the address of a page of the hub, which has ours in a frame and its query from us.
WHOLE_ADDRESS = f"""(address, shown = false) => {{
    const framed = "{SPACE}" && window.parent !== window;
    const whole = new URL(shown && framed ? "https://huggingface.co/spaces/{SPACE}" : location.href);
    const known = {["tab", *tour.NAMES, *IN_A_LINK, *OF_ONE_TAB, *compare_link.IN_A_LINK]};
    for (const name of known) whole.searchParams.delete(name);
    const asked = new URLSearchParams(address.slice(address.indexOf("?")));
    asked.forEach((value, name) => whole.searchParams.set(name, value));
    return whole.href;
}}"""
# As the hub takes it, and without what it has added itself, such as __theme.
TELL_THE_FRAME = f"""() => {{
    if (!"{SPACE}" || window.parent === window) return;
    const own = [...new URLSearchParams(location.search)].filter(([name]) => !name.startsWith("__"));
    parent.postMessage({{ queryString: `${{new URLSearchParams(own)}}` }}, "https://huggingface.co");
}}"""
# Each tab has an address of its own, which is in the bar while the tab is open; "pushState" lets Back come to it. What
# a link has begun by itself takes the link's place, or Back to it would begin it again and come no further.
IN_THE_ADDRESS_BAR = f"""(address, how = "pushState") => {{
    const whole = new URL(({WHOLE_ADDRESS})(address));
    const tab = whole.searchParams.get("tab") ?? "{TAB}";
    if (window.{wiring.LINKED} === tab) [how, window.{wiring.LINKED}] = ["replaceState", null];
    const open = document.querySelector("[role=tab][aria-selected=true]")?.dataset.tabId ?? tab;
    if (open === tab && whole.href !== location.href) history[how](null, "", whole);
    if (open === tab) return ({TELL_THE_FRAME})();
    (window.addresses ??= {{}})[tab] = whole.href;
}}"""
ADDRESS_OF_TAB = f"""() => requestAnimationFrame(() => {{
    const open = document.querySelector("[role=tab][aria-selected=true]")?.dataset.tabId;
    const before = new URLSearchParams(location.search).get("tab") ?? "{TAB}";
    if (!open || open === before) return;
    const addresses = (window.addresses ??= {{}});
    addresses[before] = location.href;
    const plain = () => ({WHOLE_ADDRESS})(open === "{TAB}" ? "?" : `?tab=${{open}}`);
    history.replaceState(null, "", addresses[open] ?? plain());
    ({TELL_THE_FRAME})();
}})"""


@dataclass
class Exports:
    """The components, and the name of the run that they belong to."""

    run: gr.State
    file: gr.DownloadButton
    save: tuple[gr.Button, ...]
    command: gr.Textbox
    python: gr.Textbox
    link: gr.Textbox

    def outputs(self) -> list:
        """What `describe` is for, in its order."""
        return [self.run, self.command, self.python, self.link]


def layout() -> Exports:
    """A row of buttons, and the words in an accordion."""
    with gr.Row(elem_classes="chips"):
        save = []
        for words, kinds in (("Save the step on display", KINDS[:1]), ("or the whole run", KINDS[1:])):
            gr.HTML(words, elem_classes="chips-label", apply_default_css=False)
            save += [gr.Button(kind.upper(), size="sm", min_width=56, scale=0) for kind in kinds]
    file = gr.DownloadButton(visible="hidden")
    with gr.Accordion("Reproduce and share", open=False, elem_classes="reproduce"):
        command, python, address = (
            gr.Textbox(label=label, lines=lines, max_lines=20, interactive=False, buttons=["copy"])
            for label, lines in (("Command line", 2), ("Python", 6), ("Link to these settings", 1))
        )
    return Exports(gr.State(), file, tuple(save), command, python, address)


def share(info: str | None = None) -> gr.Textbox:
    """A link to a run's settings, folded away; `info` says what is not in it."""
    with gr.Accordion("Share", open=False, elem_classes="reproduce"):
        return gr.Textbox(label="Link to these settings", info=info, lines=1, interactive=False, buttons=["copy"])


def describe(name: str, lane: SamplingRun, checkpoints: Path) -> tuple[str, str, str, str]:
    """The name of a run and the texts that belong to it."""
    return name, reproduce.command(lane, checkpoints), reproduce.python(lane, checkpoints), link(lane.settings)


def connect(exports: Exports, recordings: Recordings) -> None:
    """Let each button save a file of the run on display, the picture as it is at the step on display."""

    def file_of(kind: str):
        def write(name: str | None, step: int | None) -> str:
            with wiring.toasts():
                return str(recordings.file(name, kind, step))

        return write

    step = gr.JSON(visible=False)
    for button, kind in zip(exports.save, KINDS, strict=True):
        written = button.click(
            file_of(kind),
            [exports.run, step],
            exports.file,
            js=wiring.reading(STEP),
            show_progress="hidden",
            **wiring.FILES,
        )
        written.success(None, exports.file, js=SAVE, **wiring.PRIVATE)


def connect_link(box: gr.Textbox, going: Dependency) -> None:
    """Complete the link in `box` in the browser, and put it into the address bar when the run `going` has finished."""
    # Every run changes the text; the browser puts its own address before it.
    box.change(None, box, box, js=f"(address) => ({WHOLE_ADDRESS})(address, true)", **wiring.PRIVATE)
    going.success(None, box, js=IN_THE_ADDRESS_BAR, **wiring.PRIVATE)


def connect_restoring(page: gr.Blocks, tab: str, restore: Callable, outputs: list, run_id: str, ready: str) -> None:
    """Bring a tab's settings back from the address of the page, then open the tab and press its button.

    Args:
        tab: one of `wiring.RESTORED`.
        restore: from the address's query to updates of the outputs; None if it asks nothing of this tab.
        ready: selects what must be on the page before the button can be pressed.
    """

    def restored(request: gr.Request) -> object:
        with wiring.toasts():
            updates = restore(request.query_params)
        return gr.skip() if updates is None else updates

    asked = page.load(restored, outputs=outputs, show_progress="hidden", **wiring.BESIDE)
    for outcome in (asked.success, asked.failure):
        wiring.open_if_linked(outcome, tab)
    names = [name for name in (*IN_A_LINK, *OF_ONE_TAB) if name not in POINTS]  # which need no run to be seen
    asked.success(None, js=wiring.press_if_linked(tab, run_id, names, ready), **wiring.PRIVATE)
