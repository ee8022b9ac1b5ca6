// Each line of standard input: {"tables": {NAME: "COLUMN:TYPE, ..."}, "queries": {NAME: QUERY}} as JSON.
// Each line of standard output: {NAME: [what is wrong with the query, ...]}, by Microsoft's own analysis.
require('@kusto/language-service-next/bridge.min.js');
require('@kusto/language-service-next/Kusto.Language.Bridge.min.js');
const { createInterface } = require('node:readline');
const { GlobalState, KustoCode, Symbols } = Kusto.Language;

function check({ tables, queries }) {
  const symbols = Object.entries(tables).map(
    ([name, columns]) => new Symbols.TableSymbol.$ctor7(name, `(${columns})`, null)
  );
  const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.$ctor1('db', symbols));
  const faults = {};
  for (const [name, query] of Object.entries(queries)) {
    const found = KustoCode.ParseAndAnalyze(query, globals).GetDiagnostics();
    faults[name] = Array.from({ length: found.Count }, (_, i) => {
      const { Code, Message, Start, End } = found.getItem(i);
      return `${Code} ${Message} (${query.slice(Start, End)})`;
    });
  }
  return faults;
}

createInterface({ input: process.stdin }).on('line', (asked) =>
  process.stdout.write(`${JSON.stringify(check(JSON.parse(asked)))}\n`)
);
