// How much each class explains a picture. A message is {run, state, title, detail, picture, size, total, classes}, with
// {draws, evaluations, seconds, probabilities, errors, margins, none} from the first draw on: errors are above the smallest one,
// margins their standard errors or null, and `none` says why the answer is none of the classes, or is empty. `autoencoder` is
// {title, classes, probabilities} or null. {stopped: true} ends a run early.

const root = element.querySelector(".scores");
const STATES = {
  running: "Adding draws …",
  done: "Finished.",
  stopped: "Stopped. What was drawn so far counts.",
  late: "Stopped at this server's time limit. What was drawn so far counts.",
};
let latest = null;

const canvas = make("canvas", "subject");
canvas.setAttribute("role", "img");
canvas.setAttribute("aria-label", "The picture that is classified, as 32 x 32 pixels");
const verdict = make("p", "verdict");
const none = make("p", "none");
const progress = make("div", "draws");
const bar = make("div", "draws-bar");
progress.append(bar);
const status = make("div", "status", "A finished classification appears here in a moment.");
status.setAttribute("role", "status");
const side = make("div", "side-column");
side.append(canvas, verdict, none, progress, status);
const charts = make("div", "charts");
const fold = make("button", "take fold", "Errors behind the probabilities");
fold.setAttribute("aria-expanded", "false");
fold.hidden = true;
fold.addEventListener("click", () => fold.setAttribute("aria-expanded", String(root.classList.toggle("with-all-errors"))));
const stage = make("div", "scores-stage");
stage.append(charts, fold);
root.append(side, stage);

function percent(share) {
  return share > 0 && share < 0.005 ? "< 1 %" : `${Math.round(100 * share)} %`;
}

function heading(title, detail) {
  const node = make("h3", "lane-title", title);
  node.append(make("span", "detail", detail));
  return node;
}

function chart(title, detail, classes, probabilities, errors, margins) {
  const section = make("section", "chart");
  const table = make("table", "class-table");
  table.classList.toggle("with-errors", Boolean(errors));
  const head = make("tr");
  const names = ["class", "probability", ...(errors ? ["error above the smallest"] : [])];
  head.append(...names.map((name, place) => make("th", place === 2 ? "error" : "", name)));
  table.append(head);
  const best = probabilities.indexOf(Math.max(...probabilities));
  const reach = errors ? Math.max(...errors.map((error, place) => error + (margins[place] ?? 0)), 1e-12) : 1;
  const low = errors ? Math.min(0, ...errors.map((error, place) => error - (margins[place] ?? 0))) : 0;
  const x = (error) => (100 * (error - low)) / (reach - low);
  classes.forEach((name, place) => {
    const row = make("tr", place === best ? "best" : "");
    const cell = make("td", "probability");
    const track = make("div", "track");
    const fill = make("div", "fill");
    fill.style.width = `${100 * probabilities[place]}%`;
    track.append(fill);
    cell.append(track, make("span", "share", percent(probabilities[place])));
    row.append(make("th", "", name), cell);
    if (errors) {
      const [error, margin] = [errors[place], margins[place]];
      const axis = make("div", "error-axis");
      const dot = make("span", "error-dot");
      dot.style.left = `${x(error)}%`;
      if (margin !== null) {
        const whisker = make("span", "whisker");
        whisker.style.left = `${x(error - margin)}%`;
        whisker.style.width = `${x(error + margin) - x(error - margin)}%`;
        axis.append(whisker);
      }
      axis.append(dot);
      const figures = make("td", "error");
      const spread = margin === null ? "" : ` ± ${significant(1000 * margin)}`;
      figures.append(axis, make("span", "error-text", `${(1000 * error).toFixed(2)}${spread}`));
      row.append(figures);
    }
    table.append(row);
  });
  section.append(heading(title, detail), table);
  if (errors) section.append(make("p", "chart-note error", "Mean squared errors of the noise, in thousandths, with standard errors."));
  return section;
}

function show(message) {
  [canvas.height, canvas.width] = message.size;
  draw([canvas], unpack(message.picture), message.size);
  root.dataset.state = message.state;
  root.dataset.run = message.run;
  if (message.draws) {
    const { classes, probabilities, errors, margins, draws, total, evaluations, seconds } = message;
    const best = probabilities.indexOf(Math.max(...probabilities));
    const sections = [chart(message.title, message.detail, classes, probabilities, errors, margins)];
    const other = message.autoencoder;
    if (other) sections.push(chart(other.title, other.detail, other.classes, other.probabilities));
    charts.replaceChildren(...sections);
    if (message.none) verdict.replaceChildren(make("b", "", "none of these"));
    else verdict.replaceChildren(make("b", "", classes[best]), ` ${percent(probabilities[best])}`);
    none.textContent = message.none && `${message.none} Among these, ${classes[best]} does least badly.`;
    bar.style.width = `${(100 * draws) / total}%`;
    root.dataset.draws = String(draws);
    status.textContent =
      `${STATES[message.state]} ${draws} of ${total} draws, ` +
      `${evaluations.toLocaleString("en")} network evaluations, ${seconds.toFixed(1)} s.`;
    fold.hidden = false;
  } else {
    fold.hidden = true;
    charts.replaceChildren();
    verdict.replaceChildren();
    none.replaceChildren();
    bar.style.width = "0";
    delete root.dataset.draws;
    status.textContent = "Press Classify.";
  }
}

function receive() {
  const message = props.value;
  if (!message) return;
  if (message.stopped) {
    if (!latest || latest.state !== "running") return;
    latest = { ...latest, state: "stopped" };
  } else if (latest && Number(message.run) < Number(latest.run)) return; // another picture has been chosen since
  else latest = message;
  show(latest);
}

watchQueue((words) => {
  if (words) status.textContent = words;
  else if (latest) show(latest);
});
watch("value", receive);
receive();
