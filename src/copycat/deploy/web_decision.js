// Decides by class probabilities as decision.py does.
const ROUNDING = 1e-5;
const argmax = values => values.indexOf(Math.max(...values));

function decide(probability, { costs, positive, threshold }) {
  if (costs) {
    const expected = costs[0].map((_, predicted) => probability.reduce((sum, share, label) => sum + share * costs[label][predicted], 0));
    return expected.indexOf(Math.min(...expected));
  }
  if (threshold === undefined || positive === undefined) return argmax(probability);
  if (probability[positive] >= threshold - ROUNDING) return positive;
  return argmax(probability.map((share, label) => label === positive ? -1 : share));
}

function makeSet(probability, { sets = "lac", quantile }) {
  if (quantile === undefined) return null;
  const order = probability.map((_, label) => label).sort((a, b) => probability[b] - probability[a] || a - b);
  const scores = probability.map(share => 1 - share);
  if (sets === "aps") order.reduce((sum, label) => scores[label] = sum + probability[label], 0);
  return probability.map((_, label) => scores[label] <= quantile + ROUNDING || label === argmax(probability));
}

function describeSet(names, inside) {
  const kept = names.filter((_, label) => inside[label]);
  return kept.length === 1 ? kept[0] : `not sure: ${kept.join(", ")}`;
}

const decideLabels = (probability, thresholds) => probability.map((share, label) => share > thresholds[label]);
const joinNames = (names, hasClass) => names.filter((_, label) => hasClass[label]).join(";") || "none";
