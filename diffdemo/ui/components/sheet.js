// A table of pictures. A message is {columns, rows: [{name, pictures}], size}: the names of the columns, and a row's
// pictures as base64 of uint8 RGB, one for each column. With `begins` the table, just begun, comes into sight; with
// `over` nothing more will come.

const root = element.querySelector(".sheet");

function heading(text, scope) {
  const cell = make("th", "", text);
  cell.scope = scope;
  return cell;
}

function receive() {
  const message = props.value;
  if (!message?.rows) return;
  const table = make("table");
  const head = make("tr");
  head.append(make("td"), ...message.columns.map((name) => heading(name, "col")));
  table.append(head);
  for (const { name, pictures } of message.rows) {
    const row = make("tr");
    const canvases = message.columns.map((column) => {
      const canvas = make("canvas");
      [canvas.height, canvas.width] = message.size;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${name}, ${column}`);
      return canvas;
    });
    const bytes = unpack(pictures);
    const one = bytes.length / canvases.length;
    canvases.forEach((canvas, place) => draw([canvas], bytes.subarray(place * one, (place + 1) * one), message.size));
    row.append(heading(name, "row"), ...canvases.map((canvas) => {
      const cell = make("td");
      cell.append(canvas);
      return cell;
    }));
    table.append(row);
  }
  root.replaceChildren(table);
  if (message.begins) root.scrollIntoView({ block: "nearest" });
  root.dataset.over = String(Boolean(message.over));
  root.dataset.rows = String(message.rows.length);
}

watch("value", receive);
receive();
