// The balance over time. Numbers are drawn, and read out as the journal has them.
"use strict";

const place = document.getElementById("chart");
const sizes = () => ({ width: place.clientWidth, height: 260 });
let plot = null;
let told = null;
let asked = {};

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function threshold(chart, label, text) {
  const { ctx, bbox } = chart;
  const value = Number(text);
  if (text === null || value < chart.scales.y.min || value > chart.scales.y.max) return;
  const y = Math.round(chart.valToPos(value, "y", true));
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour(label.includes("threshold") ? "--warn" : "--bad");
  ctx.setLineDash(label.includes("threshold") ? [6, 4] : [2, 3]);
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  // Where the line is oldest: what is new stays to be seen.
  [ctx.textAlign, ctx.textBaseline] = ["left", "bottom"];
  ctx.fillText(label, bbox.left + 4 * devicePixelRatio, y - 2 * devicePixelRatio);
  ctx.restore();
}

// Whatever is near enough to matter is in the picture: thresholds, not a ceiling far away.
function bounds(low, high) {
  for (const [label, text] of Object.entries(told.lines)) {
    if (text === null || !label.includes("threshold")) continue;
    const [value, span] = [Number(text), high - low || Math.abs(high) || 1];
    if (value > low - 2 * span && value < high + 2 * span) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  const margin = (high - low || Math.abs(high) || 1) * 0.08;
  return [low - margin, high + margin];
}

// Times are UTC, as on the rest of the page: the year, too, where an axis begins.
const iso = (secs) => new Date(secs * 1000).toISOString();
function times(_, splits, axis, space, step) {
  return splits.map((secs, at) => {
    const day = at === 0 ? `${iso(secs).slice(5, 10)}\n${iso(secs).slice(0, 4)}` : iso(secs).slice(5, 10);
    return step >= 86400 || secs % 86400 === 0 ? day : iso(secs).slice(11, 16);
  });
}

function draw() {
  if (plot) plot.destroy();
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  plot = new uPlot({
    ...sizes(),
    cursor: { drag: { x: true, y: false, setScale: false } },
    legend: { live: true },
    scales: { y: { range: (_, low, high) => bounds(low, high) } },
    tzDate: (secs) => uPlot.tzDate(new Date(secs * 1000), "Etc/UTC"),
    axes: [{ ...axis, values: times }, { ...axis, size: 76 }],
    series: [
      { label: "When (UTC)", value: (_, secs) => (secs === null || secs === undefined ? "–" : iso(secs).slice(0, 19).replace("T", " ")) },
      {
        label: "Balance",
        stroke: colour("--accent"),
        fill: colour("--tint"),
        width: 2,
        paths: uPlot.paths.stepped({ align: 1 }),
        points: { show: told.times.length < 60 },
        value: (_, raw, series, at) => (at === null || at === undefined ? "–" : told.balances[at]),
      },
    ],
    hooks: {
      draw: [(chart) => Object.entries(told.lines).forEach(([label, text]) => threshold(chart, label, text))],
      setSelect: [(chart) => {
        if (chart.select.width < 5) return;
        const [from, width] = [chart.select.left, chart.select.width];
        chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        show({ from: Math.floor(chart.posToVal(from, "x")), to: Math.ceil(chart.posToVal(from + width, "x")) });
      }],
    },
  }, [told.times, told.balances.map(Number)], place);
  place.dataset.points = String(told.times.length);
}

// Stays as it is when there is no answer, or somebody leaves before it comes.
async function show(range) {
  const answer = await fetch(`${place.dataset.source}?${new URLSearchParams(range)}`).catch(() => null);
  if (!answer?.ok) return;
  told = await answer.json();
  draw();
}

function back(hours) {
  const now = Math.ceil(Date.now() / 1000);
  asked = { from: now - hours * 3600, to: now };
  show(asked);
}

for (const button of document.querySelectorAll("[data-hours]")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("[data-hours]")) other.setAttribute("aria-pressed", String(other === button));
    back(Number(button.dataset.hours));
  });
}
place.addEventListener("dblclick", () => show(asked));
addEventListener("resize", () => plot && plot.setSize(sizes()));
addEventListener("theme", () => told && draw());
back(720);
