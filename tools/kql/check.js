// Standard input: {"tables": {NAME: "COLUMN:TYPE, ..."}, "queries": {NAME: QUERY}} as JSON.
// Standard output: {NAME: [what is wrong with the query, ...]}, by Microsoft's own analysis.
require('@kusto/language-service-next/bridge.min.js');
require('@kusto/language-service-next/Kusto.Language.Bridge.min.js');
const { readFileSync } = require('node:fs');
const { GlobalState, KustoCode, Symbols } = Kusto.Language;

const asked = JSON.parse(readFileSync(0, 'utf8'));
const tables = Object.entries(asked.tables).map(
  ([name, columns]) => new Symbols.TableSymbol.$ctor7(name, `(${columns})`, null)
);
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.$ctor1('db', tables));

const faults = {};
for (const [name, query] of Object.entries(asked.queries)) {
  const found = KustoCode.ParseAndAnalyze(query, globals).GetDiagnostics();
  faults[name] = Array.from({ length: found.Count }, (_, i) => {
    const { Code, Message, Start, End } = found.getItem(i);
    return `${Code} ${Message} (${query.slice(Start, End)})`;
  });
}
process.stdout.write(JSON.stringify(faults));
