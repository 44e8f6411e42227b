// Where the boxes of a graph go: in layers from left to right, as the data flow. Knows nothing of jobs.
//
// Lines that pass a layer get a place in it, as if they were boxes, so that no line runs through a box; lines over
// several layers that end in the same box, or begin there, share these places. The order in the layers is found by
// barycentres, the heights by least squares under the distances that the boxes need.

const COLUMN_GAP = 36; // and more where lines are steep
const STEEPNESS = 0.07;
const ROW_GAP = 8;
const LINE_HEIGHT = 6;
const SWEEPS = 16;

/**
 * boxes: [{id, width, height}]; edges: [[id, id]].
 * Returns {width, height, places: Map(id -> {x, y, width, height}), lines: [{from, to, d}]}.
 */
export function layOut(boxes, edges) {
  if (!edges.length) return inRows(boxes);
  const ranks = rank(boxes, edges);
  const { layers, routes } = withPassages(boxes, edges, ranks);
  const links = neighbours(routes);
  order(layers, links);
  const heights = settle(layers, links);
  return place(layers, heights, routes, links);
}

/** Boxes that nothing connects, in rows as near to a square as text allows. */
function inRows(boxes) {
  const columns = Math.max(1, Math.round(Math.sqrt(boxes.length / 2)));
  const width = Math.max(0, ...boxes.map((box) => box.width));
  const places = new Map();
  let [y, tallest] = [0, 0];
  boxes.forEach((box, number) => {
    const column = number % columns;
    if (number && column === 0) [y, tallest] = [y + tallest + ROW_GAP, 0];
    tallest = Math.max(tallest, box.height);
    places.set(box.id, {
      x: column * (width + ROW_GAP * 2),
      y,
      width: box.height > 60 ? box.width : width,
      height: box.height,
    });
  });
  const used = Math.min(columns, boxes.length);
  return { width: used * width + (used - 1) * ROW_GAP * 2, height: y + tallest, places, lines: [] };
}

/** The layer of each box: one more than the last of those that it needs. */
function rank(boxes, edges) {
  const ranks = new Map(boxes.map((box) => [box.id, 0]));
  for (let round = 0; round < boxes.length; round++) {
    let moved = false;
    for (const [from, to] of edges) {
      if (ranks.get(to) <= ranks.get(from) && ranks.get(from) < boxes.length) {
        ranks.set(to, ranks.get(from) + 1);
        moved = true;
      }
    }
    if (!moved) break;
  }
  return ranks;
}

function withPassages(boxes, edges, ranks) {
  const layers = Array.from({ length: Math.max(...ranks.values()) + 1 }, () => []);
  for (const box of boxes) layers[ranks.get(box.id)].push({ ...box });
  const isLong = ([from, to]) => ranks.get(to) - ranks.get(from) > 1;
  const long = edges.filter(isLong);
  const tally = (side) => long.reduce((sums, edge) => sums.set(edge[side], (sums.get(edge[side]) ?? 0) + 1), new Map());
  const [starts, ends] = [tally(0), tally(1)];
  const passages = new Map();
  const routes = edges.map(([from, to]) => {
    const route = [from];
    const shared = isLong([from, to]) && starts.get(from) > ends.get(to) ? `from ${from}` : `to ${to}`;
    for (let layer = ranks.get(from) + 1; layer < ranks.get(to); layer++) {
      const id = `${layer} ${shared}`;
      if (!passages.has(id)) {
        passages.set(id, { id, width: 0, height: LINE_HEIGHT, isPassage: true });
        layers[layer].push(passages.get(id));
      }
      route.push(id);
    }
    return [...route, to];
  });
  return { layers, routes };
}

function neighbours(routes) {
  const links = { before: new Map(), after: new Map() };
  const add = (side, id, other) => {
    if (!links[side].has(id)) links[side].set(id, new Set());
    links[side].get(id).add(other);
  };
  for (const route of routes) {
    for (let i = 1; i < route.length; i++) {
      add("before", route[i], route[i - 1]);
      add("after", route[i - 1], route[i]);
    }
  }
  return links;
}

/** Sort each layer by the mean place of its neighbours, forwards and back; keep the order with the fewest crossings. */
function order(layers, links) {
  let best = { crossings: crossings(layers, links), layers: layers.map((layer) => [...layer]) };
  for (let sweep = 0; sweep < SWEEPS && best.crossings > 0; sweep++) {
    const forwards = sweep % 2 === 0;
    const side = forwards ? links.before : links.after;
    for (const number of forwards ? layers.keys() : [...layers.keys()].reverse()) {
      const beside = layers[number + (forwards ? -1 : 1)];
      if (beside) sortByMean(layers[number], beside, side);
    }
    const now = crossings(layers, links);
    if (now < best.crossings) best = { crossings: now, layers: layers.map((layer) => [...layer]) };
  }
  best.layers.forEach((layer, number) => layers[number].splice(0, layer.length, ...layer));
}

function sortByMean(layer, beside, side) {
  const at = new Map(beside.map((box, place) => [box.id, place / beside.length]));
  const means = new Map(
    layer.map((box, place) => [
      box.id,
      mean([...(side.get(box.id) ?? [])].map((id) => at.get(id))) ?? place / layer.length,
    ]),
  );
  layer.sort((one, two) => means.get(one.id) - means.get(two.id));
}

function crossings(layers, links) {
  let sum = 0;
  for (let number = 1; number < layers.length; number++) {
    const at = new Map(layers[number - 1].map((box, place) => [box.id, place]));
    const ends = layers[number].flatMap((box) =>
      [...(links.before.get(box.id) ?? [])].map((id) => at.get(id)).sort((a, b) => a - b),
    );
    for (let i = 0; i < ends.length; i++) for (let j = i + 1; j < ends.length; j++) sum += ends[i] > ends[j];
  }
  return sum;
}

/** The middle of each box and passage: near the mean of its neighbours, in its layer's order, within the tallest. */
function settle(layers, links) {
  const middles = new Map();
  const tall = (layer) => layer.reduce((sum, box) => sum + box.height + ROW_GAP, -ROW_GAP);
  const height = Math.max(...layers.map(tall));
  for (const layer of layers) {
    let y = 0;
    for (const box of layer) {
      middles.set(box.id, y + box.height / 2);
      y += box.height + ROW_GAP;
    }
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const forwards = sweep % 2 === 0;
    for (const layer of forwards ? layers : [...layers].reverse()) {
      const wished = layer.map((box) => {
        const [one, two] = forwards ? [links.before, links.after] : [links.after, links.before];
        const beside = [...(one.get(box.id) ?? two.get(box.id) ?? [])];
        return mean(beside.map((id) => middles.get(id))) ?? middles.get(box.id);
      });
      spread(layer, wished, height).forEach((middle, place) => middles.set(layer[place].id, middle));
    }
  }
  return middles;
}

/** The middles nearest to the wished ones under which no two boxes meet: a regression by pooled neighbours, cut off. */
function spread(layer, wished, height) {
  const offsets = [0];
  for (let i = 1; i < layer.length; i++) {
    offsets.push(offsets[i - 1] + (layer[i - 1].height + layer[i].height) / 2 + ROW_GAP);
  }
  const pools = [];
  wished.forEach((middle, place) => {
    pools.push({ sum: middle - offsets[place], size: 1 });
    while (pools.length > 1 && pools.at(-2).sum / pools.at(-2).size > pools.at(-1).sum / pools.at(-1).size) {
      const last = pools.pop();
      pools.at(-1).sum += last.sum;
      pools.at(-1).size += last.size;
    }
  });
  const [lowest, highest] = [layer[0].height / 2, height - offsets.at(-1) - layer.at(-1).height / 2];
  const kept = pools.flatMap((pool) =>
    Array(pool.size).fill(Math.max(lowest, Math.min(highest, pool.sum / pool.size))),
  );
  return kept.map((middle, place) => middle + offsets[place]);
}

function place(layers, middles, routes, links) {
  const top = Math.min(...layers.flat().map((box) => middles.get(box.id) - box.height / 2));
  const places = new Map();
  let [x, used, height] = [0, 0, 0];
  for (const layer of layers) {
    const width = Math.max(...layer.map((box) => box.width));
    const isOpen = (box) => box.height > 60; // open groups keep their own width, and stretch no other
    const usual = Math.max(...layer.filter((box) => !isOpen(box)).map((box) => box.width));
    for (const box of layer) {
      const y = middles.get(box.id) - box.height / 2 - top;
      const stretched = box.isPassage ? width : isOpen(box) ? box.width : usual;
      places.set(box.id, { x, y, width: stretched, height: box.height, right: x + width });
      height = Math.max(height, y + box.height);
    }
    const climbs = layer.flatMap((box) =>
      [...(links.after.get(box.id) ?? [])].map((id) => Math.abs(middles.get(id) - middles.get(box.id))),
    );
    used = x + width;
    x = used + COLUMN_GAP + STEEPNESS * Math.max(0, ...climbs);
  }
  const lines = routes.map((route) => ({
    from: route[0],
    to: route.at(-1),
    d: path(route.map((id) => places.get(id))),
  }));
  return { width: used, height, places, lines };
}

function path(stops) {
  const middle = (stop) => stop.y + stop.height / 2;
  let d = `M${stops[0].x + stops[0].width} ${middle(stops[0])}`;
  for (let i = 1; i < stops.length; i++) {
    const [from, to] = [stops[i - 1], stops[i]];
    const half = (from.right + to.x) / 2;
    d += `H${from.right}C${half} ${middle(from)} ${half} ${middle(to)} ${to.x} ${middle(to)}`;
  }
  return d;
}

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}
