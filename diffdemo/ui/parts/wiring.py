"""What the tabs share: toasts, settings, the queue, the run that is on display before the first click."""

import html
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from diffdemo import validate
from diffdemo.errors import DiffdemoError
from diffdemo.ui.runs import zero_gpu
from diffdemo.ui.runs.stream import Stops
from diffdemo.ui.runs.zoo import ModelZoo

# One run at a time: two at once on the same cores would make both slow. The queue tells visitors their place.
QUEUE = {"concurrency_id": "network", "concurrency_limit": 1}
PRIVATE = {"api_visibility": "private"}
AT_ONCE = {"queue": False, **PRIVATE}
# As AT_ONCE, for what may fail: only of the queue's events Gradio shows errors.
BESIDE = {"concurrency_limit": None, **PRIVATE}
# As BESIDE, for films and what else takes seconds.
FILES = {"concurrency_id": "files", "concurrency_limit": 2, **PRIVATE}
# Time limits of Gradio do not end a run of a generator function.
SECONDS_ON_A_SPACE = 60.0

# Every button knows how often it was clicked, so that the server can tell an older click from a newer. A click comes
# later, see `settled_before`, while settings that it would run with are on their way.
# And every run has its address: going back to one is opening it.
ON_LOAD = """() => {
    document.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (!button) return;
        if (window.unsettled?.[button.id]) {
            event.stopImmediatePropagation();
            button.held = true;
        } else button.clicks = (button.clicks ?? 0) + 1;
    }, true);
    addEventListener("popstate", () => location.reload());
}"""
# Tabs that open themselves, after their settings have come back.
RESTORED = ("forward", "latent", "classify")
LINKED = "diffdemoLinked"  # of the browser's window: the tab whose run the page's address has begun by itself
# Of the page's address.
OPEN_LINKED_TAB = f"""() => {{
    const asked = new URLSearchParams(location.search).get("tab");
    if (!asked || {list(RESTORED)}.includes(asked)) return;
    document.querySelector(`[role=tab][data-tab-id="${{CSS.escape(asked)}}"]`)?.click();
}}"""
LATEX = [{"left": mark, "right": mark, "display": mark == "$$"} for mark in ("$$", "$")]


def time_limit() -> float | None:
    """Seconds a run may take: DIFFDEMO_MAX_SECONDS, or a minute on a hosted Space, which many share, or any time."""
    if named := os.environ.get("DIFFDEMO_MAX_SECONDS"):
        return validate.real_number("DIFFDEMO_MAX_SECONDS", named, 1, 86_400)
    return SECONDS_ON_A_SPACE if os.environ.get("SPACE_ID") else None


@contextmanager
def toasts() -> Iterator[None]:
    """Turn the package's errors into toasts of one sentence; anything else stays Gradio's, which shows no details."""
    try:
        yield
    except DiffdemoError as error:
        # Toasts render HTML, and the sentence may quote what someone typed.
        sentence = html.escape(str(error), quote=False)
        raise gr.Error(sentence, print_exception=False) from error


def reading(*expressions: str) -> str:
    """JavaScript of an event whose last inputs are not what the components hold, but what the page says as it is sent.

    An expression that is undefined leaves its input alone.
    """
    return f"""(...values) => {{
        const read = [{", ".join(expressions)}];
        const kept = values.length - read.length;
        return values.map((value, place) => (place < kept ? value : read[place - kept] ?? value));
    }}"""


def newest(block: gr.HTML, event: str) -> str:
    """JavaScript for what a component of ours asked for last with this event; undefined as long as it has not."""
    return f'document.querySelector("#{block.elem_id} [data-asks]")?.asked.{event}'


def answer_newest(
    block: gr.HTML, event: str, answer: Callable, inputs: list, outputs: object, *also: str, **how
) -> None:
    """Call `answer(*inputs, asked)` with what a component of ours (`block`) asked for with its newest such event.

    Events that come while another is on its way are sent as one when that is done, and Gradio then repeats the data of
    the first of them. So what is asked for is no data of the event, but read off the page as it is sent.

    Args:
        block, event: whose script calls `ask` with this event, "select" or "input".
        inputs, outputs, how: as Gradio's listeners take them.
        also: expressions for the last of the `inputs`, see `reading`.
    """
    listener, js = getattr(block, event), reading(*also, newest(block, event))
    listener(answer, [*inputs, gr.JSON(visible=False)], outputs, js=js, trigger_mode="always_last", **how)


# What a click begins, as `connect_run` returned it; the button; and the tab.
Started = tuple[Dependency, gr.Button, str]


class FirstView:
    """A run computed once, for every visitor's first sight of a tab."""

    def __init__(self, make: Callable[[], object]):
        self._make: Callable[[], object] | None = make
        self._result: object = None
        self._lock = Lock()

    def __call__(self) -> object:
        """The result, computed or waited for if it is not there yet."""
        with toasts(), self._lock, zero_gpu.here():
            if self._make:
                self._result, self._make = self._make(), None
            return self._result


class FirstViews:
    """The first views of one page.

    That of the tab on display begins `at_once`. The others together take seconds, in which the page would come up more
    slowly, so they begin with `begin_all`, or when their tab is opened if that is sooner.
    """

    def __init__(self):
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="first_view")
        self._waiting: list[FirstView] = []

    def add(self, make: Callable[[], object], at_once: bool = False) -> FirstView:
        """One more of them."""
        view = FirstView(make)
        self._waiting.append(view)
        if at_once and not zero_gpu.ON:  # which must not fork a process that computes
            self._worker.submit(view)
        return view

    def begin_all(self) -> None:
        """Compute in the background, one after another, what nobody has asked for yet."""
        while self._waiting:
            self._worker.submit(self._waiting.pop(0))

    def finish_all(self) -> None:
        """Wait until every one is computed, which a measurement must."""
        self.begin_all()
        self._worker.submit(lambda: None).result()


def show_first(
    tab: gr.Tab, wait: Callable, show: Callable[..., tuple], inputs: list, outputs: list, js: str | None = None
) -> gr.State:
    """Put `show(*inputs)` into `outputs` when a visitor opens the tab for the first time; returns whether it did.

    In an event of its own, after another has called `wait`, which may take seconds: so the inputs say what the visitor
    has done in these, of which `js` may read the last off the page.
    """
    opened = gr.State(False)
    quiet = {"show_progress": "hidden", **AT_ONCE}

    def open_tab(shown: bool, *values) -> tuple:
        return (*[gr.skip()] * len(outputs), True) if shown else (*show(*values), True)

    there = tab.select(lambda shown: None if shown else wait() and None, opened, **quiet)
    there.then(open_tab, [opened, *inputs], [*outputs, opened], js=js, **quiet)
    return opened


def visitor(request: gr.Request, tab: str) -> str:
    """A name for one tab of one open page."""
    return f"{request.session_hash}/{tab}"


@dataclass(frozen=True)
class Around:
    """What tabs are wired to: the page they are on, its models, the runs that go on, and its first views."""

    page: gr.Blocks
    zoo: ModelZoo
    stops: Stops
    first_views: FirstViews


def open_if_linked(event: Callable, tab: str) -> None:
    """Let an event open a tab of `RESTORED` if the address of the page asks for it."""
    js = f"""() => {{
        if (new URLSearchParams(location.search).get("tab") !== "{tab}") return;
        document.querySelector('[role=tab][data-tab-id="{tab}"]').click();
    }}"""
    event(None, js=js, **PRIVATE)


def buttons(name: str, elem_id: str) -> tuple[gr.Button, gr.Button]:
    """The tab's two actions, on top of its settings: always in sight, and right below the pictures on a phone."""
    with gr.Row(elem_classes="actions"):
        run = gr.Button(name, variant="primary", min_width=120, scale=3, elem_id=elem_id)
        return run, gr.Button("Stop", min_width=80, scale=1)


def press(elem_id: str, ready: str = "body") -> str:
    """JavaScript that clicks a button as soon as it and what is selected by `ready` are there.

    A tab's come when it is opened.
    """
    return f"""() => {{
        const click = () => {{
            const button = document.getElementById("{elem_id}");
            if (button && document.querySelector("{ready}")) button.click();
            else requestAnimationFrame(click);
        }};
        click();
    }}"""


def settled_before(elem_id: str, listen: Callable, answer: Callable, inputs: list, outputs: object) -> None:
    """Let an event change settings, and a click meanwhile on the button that runs with them wait for the answer.

    Such as that of a new model, which cannot take the class that is on display as long as it has not come.

    Args:
        listen: of the event, with `answer`, `inputs` and `outputs` as Gradio's listeners take them.
    """
    begin = f"""(...values) => {{
        const unsettled = window.unsettled ??= {{}};
        unsettled["{elem_id}"] = (unsettled["{elem_id}"] ?? 0) + 1;
        return values;
    }}"""
    # The next of several such events begins right after this one has ended.
    end = f"""() => {{
        window.unsettled["{elem_id}"] -= 1;
        requestAnimationFrame(() => {{
            const button = document.getElementById("{elem_id}");
            if (!button?.held || window.unsettled["{elem_id}"]) return;
            button.held = false;
            button.click();
        }});
    }}"""
    how = {"trigger_mode": "always_last", "show_progress": "hidden", **AT_ONCE}
    asked = listen(answer, inputs, outputs, js=begin, **how)
    for outcome in (asked.success, asked.failure):
        outcome(None, js=end, **PRIVATE)


def press_if_linked(tab: str, elem_id: str, names: Iterable[str], ready: str = "body") -> str:
    """JavaScript that clicks a tab's button, see `press`, if the page's address has any of these settings for it."""
    return f"""() => {{
        const asked = new URLSearchParams(location.search);
        const here = (asked.get("tab") ?? "generate") === "{tab}";
        if (!here || !{list(names)}.some((name) => asked.has(name))) return;
        window.{LINKED} = "{tab}";
        ({press(elem_id, ready)})();
    }}"""


def clicks(button: gr.Button) -> str:
    """JavaScript for how often a button was clicked."""
    return f'document.getElementById("{button.elem_id}")?.clicks'


def connect_run(
    button: gr.Button,
    run: Callable,
    inputs: list,
    outputs: object,
    place: Component,
    stops: Stops,
    tab: str,
    off_page: tuple[str, ...] = (),
) -> Dependency:
    """Let a click on a button call `run(halted, *inputs)`, and end what an older click has begun or lets wait.

    Args:
        run: yields what comes into the outputs, until `halted()`.
        place: in whose corner Gradio writes the place in the queue; on the viewer, it would fade the pictures.
        off_page: expressions for the last of the inputs, see `reading`.
    """
    click = clicks(button)
    how = {"show_progress": "minimal", "show_progress_on": place, **QUEUE, **PRIVATE}
    number = gr.JSON(visible=False)

    def begin(request: gr.Request, *values) -> Iterator:
        *values, click = values
        with toasts(), stops.listening(visitor(request, tab), click or 0) as halted:
            if not halted():
                yield from run(halted, *values)

    # Deferred while there is a run. Gradio sends the events of a click one after another, so on a click that began one,
    # the second comes when that run is over, and ends none: what may have followed belongs to a newer click.
    js = reading(*off_page, click)
    going = button.click(begin, [*inputs, number], outputs, js=js, trigger_mode="always_last", **how)

    def end_older(click: int | None, request: gr.Request) -> None:
        stops.end_older(visitor(request, tab), click or 0)

    button.click(end_older, number, js=reading(click), show_progress="hidden", **AT_ONCE)
    return going


def connect_stop(event: Callable, viewer: gr.HTML, stops: Stops, *runs: Started) -> None:
    """Let an event, such as a Stop button's click, end runs: before their next step, and also while they are queued.

    And also if the click that begins one is on its way yet or held, see `settled_before`: of these, Gradio's `cancels`
    knows nothing. All in one event, because Gradio sends those of one click one after another, and what comes later
    would end what has begun meanwhile.

    Args:
        runs: what each click begins.
    """

    def stop(request: gr.Request, *clicked: int | None) -> dict:
        tabs = [tab for _, _, tab in runs]
        return [stops.stop(visitor(request, tab), click or 0) for tab, click in zip(tabs, clicked, strict=True)][-1]

    cancels, buttons = [run for run, _, _ in runs], [button for _, button, _ in runs]
    nodes = [f'(document.getElementById("{button.elem_id}") ?? {{}})' for button in buttons]
    forgetting = [f"Object.assign({node}, {{ held: false }}).clicks" for node in nodes]
    how = {"cancels": cancels, "js": reading(*forgetting), "show_progress": "hidden", **AT_ONCE}
    event(stop, [gr.JSON(visible=False) for _ in runs], viewer, **how)
