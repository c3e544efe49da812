"""The page: its tabs, its looks, and how it is served."""

import gc
import signal
import socket
import sys
from pathlib import Path

import gradio as gr

from diffdemo.cli.errors import print_any_name
from diffdemo.device import use_own_cores
from diffdemo.errors import DiffdemoError, RequestError
from diffdemo.records.tables import plain
from diffdemo.ui.api import compare as compare_api
from diffdemo.ui.api import generate as generate_api
from diffdemo.ui.api import inside as inside_api
from diffdemo.ui.api import latent as latent_api
from diffdemo.ui.api import nearest as nearest_api
from diffdemo.ui.api import pictures as pictures_api
from diffdemo.ui.api import training as training_api
from diffdemo.ui.options import Options
from diffdemo.ui.parts import exports, limits, nearest, preview, sources, tour, wiring
from diffdemo.ui.runs import compiling, zero_gpu
from diffdemo.ui.runs.recordings import Recordings
from diffdemo.ui.runs.stream import Stops
from diffdemo.ui.runs.zoo import ModelZoo
from diffdemo.ui.tabs import classify, compare, forward, generate, inside, latent, training

HEADING = "# diffdemo\nSmall diffusion models on CIFAR-10: watch noise turn into a picture."
ACCENT = "#5f62ef"  # indigo that white letters can be read on (4.7 : 1) and that is seen on dark grounds (3.8 : 1)
THEME = gr.themes.Default(
    primary_hue="indigo",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(  # legible on a projector, which the theme's own greys are not
    color_accent=ACCENT,
    button_primary_background_fill=ACCENT,
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
)
# What launch() must be told for this page, wherever it is served.
SERVING = {
    "theme": THEME,
    "css_paths": [Path(__file__).with_name("page.css")],
    "footer_links": ["api", "settings"],
    "run_history": False,
    "ssr_mode": False,
    "max_file_size": limits.UPLOAD,
    "state_session_capacity": limits.SESSIONS,
    "app_kwargs": {"middleware": [(limits.LimitedBodies, (), {}), (preview.Preview, (), {})]},
    "show_error": False,  # toasts show the sentences we raise, and no details of anything else
    "share": False,
}


def build(
    zoo: ModelZoo,
    runs: Path | None = None,
    data: str | Path = "data",
    first_views: wiring.FirstViews | None = None,
) -> gr.Blocks:
    """The page, ready for `launch(**SERVING)`; its Training tab follows the training runs in the folder `runs`.

    Original pictures and a picture's nearest training pictures are shown where the folder `data` holds the data set.
    The first views of its tabs are its own, unless someone who has to wait for them hands them in.
    """
    stops, recordings, search = Stops(), Recordings(), nearest.Search(zoo, data)
    first_views = first_views or wiring.FirstViews()
    with gr.Blocks(title=preview.TITLE, delete_cache=(limits.EVERY, limits.AGE), fill_width=False) as page:
        around = wiring.Around(page, zoo, stops, first_views)
        gr.Markdown(HEADING, elem_classes="masthead")
        tour.add(page, zoo)
        if zoo.problems:
            sentences = [f"- **{plain(key)}** {plain(why)}" for key, why in zoo.problems.items()]
            gr.Markdown("\n".join(["Not on this page:", *sentences]), elem_classes="problems")
        with gr.Tabs(overflow_behavior="wrap") as tabs:
            with gr.Tab("Generate", id="generate"):
                of_run = generate.layout(zoo, search)
                generate.connect(page, zoo, stops, recordings, of_run, search, first_views)
            with gr.Tab("Compare", id="compare") as tab:
                compare.connect(page, tab, zoo, stops, recordings, compare.layout(zoo), first_views)
            with gr.Tab("Inside", id=inside.TAB) as tab:
                inside.connect(tab, of_run.exports.run, recordings, inside.layout())
            examples = first_views.add(lambda: sources.Examples.find(zoo, data))
            with gr.Tab("Forward", id="forward") as tab:
                forward.connect(tab, around, forward.layout(zoo), examples)
            space = latent.add(around, data)
            if classify.keys(zoo):
                with gr.Tab("Classify", id="classify") as tab:
                    classify.connect(tab, around, classify.layout(zoo), examples)
            library = training.Library(zoo, runs)
            with gr.Tab("Training", id="training") as tab:
                training.connect(tab, tabs, stops, library, training.layout(library))
        tabs.select(None, js=exports.ADDRESS_OF_TAB, **wiring.PRIVATE)
        generate_api.connect(zoo, recordings)
        inside_api.connect(zoo)
        pictures_api.connect(zoo)
        compare_api.connect(zoo)
        if space:
            latent_api.connect(zoo, space)
        training_api.connect(library)
        nearest_api.connect(search)
    return limits.queue(page)


def check_host(host: str | None) -> None:
    """Raise RequestError if that is no address of this machine, which would else look like a port that is taken."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM) if host else ():
            with socket.socket(family, kind, protocol) as own:
                own.bind(address)
    except OSError as error:
        raise RequestError(
            f"The page cannot be served at {host}, which is no address of this machine; name another --host, such as "
            "127.0.0.1 for this machine alone or 0.0.0.0 for all that reach it."
        ) from error


def serve(chosen: Options) -> None:
    """Open the page and serve it until interrupted; exits with one sentence if that is impossible."""
    print_any_name()
    try:
        wiring.time_limit()  # a wrong one is to be said now
        check_host(chosen.host)
        use_own_cores()
        limits.keep_memory_flat()
        limits.own_folder()
        zoo = ModelZoo.open(chosen.checkpoints, "cpu" if zero_gpu.ON else chosen.device)
        zero_gpu.lend([zoo[key] for key in zoo.keys])
        page = build(zoo, Path(chosen.runs), chosen.data)
    except DiffdemoError as error:
        sys.exit(str(error))
    try:
        # Gradio's own words at the start and on failure are about its Python interface, which is not what people typed.
        page.launch(server_name=chosen.host, server_port=chosen.port, quiet=True, prevent_thread_lock=True, **SERVING)
    except OSError:
        where = f"{chosen.host or 'this machine'}, port {chosen.port or '7860 to 7959'}"
        sys.exit(f"The page cannot be served at {where}, because something else is; choose another --port.")
    gc.freeze()  # what the page is made of stays, so no collection need ever look at it
    gc.enable()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # which removes what was written, as Ctrl-C does
    print(f"diffdemo is at {page.local_url} (Ctrl-C ends it).", flush=True)
    # On ZeroGPU, each run has a process of its own.
    thread = compiling.compile_beside(zoo) if chosen.compile and not zero_gpu.ON else None
    page.block_thread()
    compiling.leave(thread)
