"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const narrow = window.matchMedia("(max-width: 560px)").matches;
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const charts = [];

  const BUTTONS = [["zoom2d", "pan2d", "select2d", "lasso2d"], ["resetScale2d", "toImage"]];

  const draw = (id, figure, buttons) => {
    const div = document.getElementById(id);
    if (!div) return null;
    // A finger that drags on a chart means to scroll the page.
    if (touch) figure.layout.dragmode = false;
    if (narrow) figure.layout.font.size = 11;
    Plotly.newPlot(div, figure.data, figure.layout, {
      responsive: true, displaylogo: false, modeBarButtons: BUTTONS,
      displayModeBar: buttons && !touch ? "hover" : false,
    });
    return div;
  };

  // Where trial N is drawn: [trace, point], in the first of the two traces of trials that has it.
  const place = (div, trial) => {
    for (const trace of [1, 0]) {
      const point = div.data[trace].customdata.indexOf(trial);
      if (point >= 0) return [trace, point];
    }
    return null;
  };

  const choose = (trial) => {
    let told = "";
    for (const div of charts) {
      const found = place(div, trial);
      const ring = div.data.length - 1;
      const trace = found && div.data[found[0]];
      Plotly.restyle(div, {
        x: [found ? [trace.x[found[1]]] : []], y: [found ? [trace.y[found[1]]] : []],
      }, [ring]);
      if (found) told = trace.text[found[1]];
    }
    // Escaped where it was made; only its line breaks and bold are read here.
    const words = new DOMParser().parseFromString(told.replaceAll("<br>", " · "), "text/html");
    document.getElementById("chosen").textContent = words.body.textContent.replaceAll("· →", "→");
    for (const row of document.querySelectorAll("tr[data-trial]"))
      row.classList.toggle("here", Number(row.dataset.trial) === trial);
  };

  let echo = false; // Fx.hover makes the other chart tell of a hover as well
  const link = (div) => {
    const others = () => charts.filter((other) => other !== div);
    const trialOf = (event) => event.points.map((p) => p.customdata).find(Number.isInteger);
    div.on("plotly_click", (event) => {
      const trial = trialOf(event);
      if (trial !== undefined) choose(trial);
    });
    div.on("plotly_hover", (event) => {
      const trial = trialOf(event);
      if (echo || trial === undefined) return;
      echo = true;
      for (const other of others()) {
        const found = place(other, trial);
        if (found) Plotly.Fx.hover(other, [{ curveNumber: found[0], pointNumber: found[1] }]);
      }
      echo = false;
    });
    div.on("plotly_unhover", () => {
      if (echo) return;
      echo = true;
      for (const other of others()) Plotly.Fx.unhover(other);
      echo = false;
    });
    div.on("plotly_selected", (event) => {
      const chosen = event && new Set(event.points.map((p) => p.customdata));
      for (const other of others()) {
        const points = [0, 1].map((trace) => chosen && other.data[trace].customdata
          .map((trial, index) => (chosen.has(trial) ? index : -1)).filter((index) => index >= 0));
        Plotly.restyle(other, { selectedpoints: points }, [0, 1]);
      }
    });
    div.on("plotly_deselect", () => {
      for (const other of others()) Plotly.restyle(other, { selectedpoints: [null] }, [0, 1]);
    });
  };

  figures.front.forEach((figure, index) => {
    const div = draw(`front-${index}`, figure, true);
    if (div) charts.push(div);
  });
  charts.forEach(link);
  draw("growth", figures.growth, false);
  figures.importance.forEach((figure, index) => draw(`importance-${index}`, figure, false));

  // Says that a table goes on beyond the edge, for as long as it does.
  const cue = (box) => {
    const left = box.scrollWidth - box.clientWidth - box.scrollLeft;
    box.parentElement.classList.toggle("more", left > 2);
  };
  for (const box of document.querySelectorAll(".wide")) {
    box.addEventListener("scroll", () => cue(box), { passive: true });
    new ResizeObserver(() => cue(box)).observe(box);
    cue(box);
  }

  for (const row of document.querySelectorAll("tr[data-trial]")) {
    const act = () => choose(Number(row.dataset.trial));
    row.addEventListener("click", act);
    row.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(); }
    });
  }
})();
