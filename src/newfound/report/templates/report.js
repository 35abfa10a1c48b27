"use strict";

const payload = JSON.parse(document.getElementById("payload").textContent);
const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const touch = matchMedia("(pointer: coarse)").matches;

// Colours come from the style sheet, so that charts follow the page's scheme.
function themed(figure, isMap) {
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(name).trim();
  const axis = {
    gridcolor: colour("--line"), zerolinecolor: colour("--line"), automargin: true,
    fixedrange: !isMap, ticks: "outside", ticklen: 6, tickcolor: "transparent",
    ticklabeloverflow: "allow",
  };
  return {
    margin: { l: 44, r: 18, t: 8, b: 40 },
    showlegend: false,
    ...figure.layout,
    xaxis: { ...axis, ...figure.layout.xaxis },
    yaxis: { ...axis, ...figure.layout.yaxis },
    font: { family: "system-ui, sans-serif", size: 12, color: colour("--muted") },
    hoverlabel: {
      bgcolor: colour("--surface"), bordercolor: colour("--line"), font: { color: colour("--ink") },
    },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    dragmode: isMap && !touch ? "zoom" : false,
    uirevision: "kept",
  };
}

function draw() {
  for (const [name, figure] of Object.entries(payload.figures)) {
    const plot = document.getElementById(`chart-${name}`);
    const isMap = name === "map";
    Plotly.react(plot, figure.data, themed(figure, isMap), {
      responsive: true, displaylogo: false, displayModeBar: false,
    });
  }
}

// The card is filled with text, never with markup: names are the user's.
function showCard(plot, pointer, point) {
  const [path, confidence, cell] = point.customdata;
  const card = document.getElementById("card");
  const chip = document.getElementById("map-chips").children[point.curveNumber];
  document.getElementById("card-category").textContent =
    `${chip.textContent}, ${(100 * confidence).toFixed(1)}% confident`;
  document.getElementById("card-path").textContent = printable(path);
  const picture = document.getElementById("card-picture");
  picture.hidden = cell < 0;
  card.hidden = false;
  if (cell >= 0) showCell(picture, cell);
  showSoundAndLink(cell);
  const frame = plot.getBoundingClientRect();
  const x = pointer.clientX - frame.left;
  const y = pointer.clientY - frame.top;
  const gap = 14;
  const left = x + gap + card.offsetWidth > frame.width ? x - gap - card.offsetWidth : x + gap;
  card.style.left = `${Math.max(4, left)}px`;
  card.style.top = `${Math.max(4, Math.min(y - 40, frame.height - card.offsetHeight - 4))}px`;
}

function showCell(picture, cell) {
  const { source, columns, height_by_width: heightByWidth } = payload.sheet;
  const side = picture.clientWidth;
  if (!picture.style.backgroundImage) picture.style.backgroundImage = `url("${source}")`;
  picture.style.backgroundSize = `${columns * side}px auto`;
  picture.style.backgroundPosition =
    `${-(cell % columns) * side}px ${-Math.floor(cell / columns) * side * heightByWidth}px`;
}

// A mouse clicks the point itself; a finger, which needs the card to see it, the link there.
function showSoundAndLink(cell) {
  const play = document.getElementById("card-play");
  if (!play) return;
  document.getElementById("card-without-sound").hidden = !payload.sheet.without_sound[cell];
  const url = payload.sheet.urls[cell];
  play.hidden = !touch || !url;
  if (url) play.href = url;
}

function playOnClick(point) {
  const url = payload.sheet.urls[point.customdata[2]];
  if (url && !touch) window.open(url, "_blank", "noopener");
}

function printable(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu,
    (mark) => `\\u${mark.codePointAt(0).toString(16).padStart(4, "0")}`);
}

function startMap(plot) {
  const card = document.getElementById("card");
  plot.on("plotly_hover", (hover) => showCard(plot, hover.event, hover.points[0]));
  plot.on("plotly_click", (click) => {
    showCard(plot, click.event, click.points[0]);
    playOnClick(click.points[0]);
  });
  plot.on("plotly_unhover", () => { card.hidden = !card.matches(":hover"); });
  const chips = [...document.getElementById("map-chips").children];
  chips.forEach((chip, chosen) => chip.addEventListener("click", () => {
    const alone = chip.getAttribute("aria-pressed") === "false";
    chips.forEach((other) => other.setAttribute("aria-pressed", alone && other === chip));
    Plotly.restyle(plot, { visible: chips.map((_, position) => !alone || position === chosen) });
    card.hidden = true;
  }));
}

draw();
if (payload.figures.map) startMap(document.getElementById("chart-map"));
darkScheme.addEventListener("change", draw);
