//! The plan's meaning (the head of `commun_domain::plan`) as SQL of `PostgreSQL`: the judge of the engine's exact cells.
//!
//! Every bound is written out. Which L0 groups count is pseudo-random: they are chosen here by the audit's own reading of the paper ([`Key`]). Of
//! the values that a histogram keeps, also pseudo-random, the numbers are given that hold whatever the choice. Whether the plan is what the question's text says is judged by [`crate::written`].

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use commun_domain::QueryId;
use commun_domain::plan::{Aggregate, KeyKind, KeySource, Measured, Output, PrivatePlan};

use crate::dataset::Dataset;
use crate::keep::Key;
use crate::meaning::Meaning;
use crate::postgres::Postgres;
use crate::relation;

/// Totals per output over the grid, in native units; of a histogram its root alone.
pub(crate) type Grid = Vec<Vec<i128>>;

/// What one person gives to one group in one partition, bounded.
struct Group {
    unit: String,
    partition: String,
    cell: usize,
    /// Of each output, in native units.
    values: Vec<i128>,
    /// Whether Linf has cut something.
    cut: bool,
}

/// The groups of everyone, before L0.
pub(crate) struct Groups(Vec<Group>);

/// The bounded answer to one query.
pub(crate) struct Bounded {
    pub(crate) cells: Grid,
    /// Whether L0 has cut groups of somebody.
    pub(crate) groups_cut: bool,
    /// Whether Linf has cut rows, values or a sum of somebody's.
    pub(crate) rows_cut: bool,
}

/// The bins of a histogram, as if every value of everyone counted.
pub(crate) struct Leaves {
    /// Of each cell its bins.
    pub(crate) cells: Vec<Vec<i128>>,
    /// Most values of one person in one group.
    pub(crate) most_values: i128,
}

/// The rows of a plan and the keys by which they are grouped, as SQL.
struct Rows<'a> {
    meaning: Meaning<'a>,
    /// Unit, partition and keys with their names.
    selected: String,
    /// The keys' names, each followed by a comma.
    keys: String,
    /// FROM and WHERE.
    from: String,
}

impl<'a> Rows<'a> {
    fn of(plan: &PrivatePlan, dataset: &'a Dataset) -> Result<Self> {
        let contract = &dataset.contract;
        let (unit, partition) = (&plan.unit_column, &plan.partition_column);
        let (mut rules, source, meaning) = if let Some(name) = plan.relation.as_table() {
            let table = contract.table(name).context("the plan names an unknown table")?;
            (relation::of_the_question(plan), format!("bound.{name}"), Meaning { contract, table: Some(table) })
        } else {
            let rows = relation::rows(&plan.relation, plan, contract)?;
            (Vec::new(), format!("({rows}) AS of_persons"), Meaning { contract, table: None })
        };
        if let Some(filter) = &plan.filter {
            rules.push(meaning.condition(filter)?);
        }
        let (mut selected, mut keys) = (format!("{unit} AS the_unit, {partition} AS the_partition"), String::new());
        for (number, key) in plan.keys.iter().enumerate() {
            let key_sql = match &key.source {
                KeySource::Values { value, values, .. } => {
                    let declared: Vec<String> = values.iter().map(ToString::to_string).collect();
                    let value = meaning.value(value)?;
                    rules.push(format!("{value} IN ({})", declared.join(", ")));
                    value
                }
                KeySource::Partition => partition.clone(),
                KeySource::Open(_) => bail!("a question with an open group key takes two attempts, which are judged elsewhere"),
            };
            write!(selected, ", {key_sql} AS key_{number}")?;
            write!(keys, "key_{number}, ")?;
        }
        rules.push("TRUE".to_owned());
        let from = format!("FROM {source} WHERE {}", rules.join(" AND "));
        Ok(Self { meaning, selected, keys, from })
    }

    fn condition(&self, output: &Output) -> Result<String> {
        output.condition.as_ref().map_or(Ok("TRUE".to_owned()), |condition| self.meaning.condition(condition))
    }

    fn measured(&self, of: &Measured) -> Result<String> {
        Ok(format!("clamped({}, {}, {})", self.meaning.value(&of.value)?, of.lo, of.hi))
    }
}

/// The plan's meaning, but for L0.
pub(crate) fn groups(plan: &PrivatePlan, dataset: &Dataset, postgres: &Postgres) -> Result<Groups> {
    let rows = Rows::of(plan, dataset)?;
    let (mut parts, mut values, mut cuts) = (String::new(), Vec::new(), vec!["FALSE".to_owned()]);
    for (number, output) in plan.outputs.iter().enumerate() {
        let condition = rows.condition(output)?;
        let mut part = |name: &str, what: String| {
            let named = format!("{name}_{number}");
            parts.extend([", COALESCE(", &what, " FILTER (WHERE ", &condition, "), 0) AS ", &named]);
            named
        };
        let (value, cut) = match &output.aggregate {
            Aggregate::CountRows { max_rows_per_person: most } => {
                let rows = part("rows", "COUNT(*)".to_owned());
                (format!("LEAST({rows}, {most})"), format!("{rows} > {most}"))
            }
            Aggregate::CountUnits => (format!("LEAST({}, 1)", part("rows", "COUNT(*)".to_owned())), "FALSE".to_owned()),
            Aggregate::Sum { measured: of, max_rows_per_person: most } => {
                let sum = part("sum", format!("SUM({})", rows.measured(of)?));
                let clamped = format!("clamped({sum}, {most}::numeric * {}, {most}::numeric * {})", of.lo.min(0), of.hi.max(0));
                (clamped.clone(), format!("{sum} <> {clamped}"))
            }
            Aggregate::CentredSum { measured: of, max_rows_per_person: most } => {
                let x = rows.measured(of)?;
                let count = part("count", format!("COUNT({x})"));
                let sum = part("sum", format!("SUM(2 * {x} - ({}))", i128::from(of.lo) + i128::from(of.hi)));
                let mean = format!("divided(1048576 * LEAST({count}, {most}) * {sum}, {count}, 'truncate')");
                (format!("COALESCE({mean}, 0)"), format!("{count} > {most}"))
            }
            Aggregate::CentredSquares { measured: of, max_rows_per_person: most } => {
                let (x, range) = (rows.measured(of)?, i128::from(of.hi) - i128::from(of.lo));
                let middle = i128::from(of.lo) + i128::from(of.hi);
                let count = part("count", format!("COUNT({x})"));
                let sum = part("sum", format!("SUM(2 * (2 * {x} - ({middle})) ^ 2 - {range}::numeric ^ 2)"));
                let mean = format!("divided(1048576 * LEAST({count}, {most}) * round({sum}), {count}, 'truncate')");
                (format!("COALESCE({mean}, 0)"), format!("{count} > {most}"))
            }
            Aggregate::Histogram { measured: of, max_rows_per_person: most, .. } => {
                let count = part("count", format!("COUNT({})", rows.measured(of)?));
                (format!("LEAST({count}, {most})"), format!("{count} > {most}"))
            }
        };
        values.push(value);
        cuts.push(cut);
    }
    let Rows { selected, keys, from, .. } = &rows;
    let script = format!(
        "CREATE TEMPORARY TABLE person AS SELECT {selected}{parts} {from} GROUP BY {keys}the_unit, the_partition;\n\
         SELECT {keys}the_unit, the_partition, ({cuts})::integer, {values} FROM person;",
        cuts = cuts.join(" OR "),
        values = values.join(", "),
    );
    let mut found = Vec::new();
    for (cell, columns) in on_grid(&postgres.run(&dataset.name, &script)?, plan)? {
        let [unit, partition, cut, values @ ..] = columns.as_slice() else { anyhow::bail!("PostgreSQL prints no person") };
        let values: Vec<i128> = values.iter().map(|value| whole(value)).collect::<Result<_>>()?;
        ensure!(values.len() == plan.outputs.len(), "PostgreSQL gives {} outputs instead of {}", values.len(), plan.outputs.len());
        found.push(Group { unit: unit.clone(), partition: partition.clone(), cell, values, cut: cut == "1" });
    }
    Ok(Groups(found))
}

impl Groups {
    /// What counts of them for one query: of each person in each partition the L0 groups with the least numbers.
    pub(crate) fn bounded(&self, plan: &PrivatePlan, query: &QueryId) -> Result<Bounded> {
        let mut persons: BTreeMap<(&str, &str), Vec<&Group>> = BTreeMap::new();
        for group in &self.0 {
            persons.entry((&group.unit, &group.partition)).or_default().push(group);
        }
        let mut bounded = Bounded {
            cells: vec![vec![0; count_cells(plan)?]; plan.outputs.len()],
            groups_cut: false,
            rows_cut: self.0.iter().any(|group| group.cut),
        };
        let most = usize::try_from(plan.max_groups_per_person)?;
        for ((unit, partition), mut groups) in persons {
            let period = plan.calendar.parse(partition).with_context(|| format!("{partition} is no period"))?;
            let key = Key::of_query(query).of_person(period.0, unit);
            groups.sort_by_key(|group| u32::try_from(group.cell).map(|cell| (key.of_group(cell), cell)).ok());
            bounded.groups_cut |= groups.len() > most;
            for group in groups.into_iter().take(most) {
                for (output, value) in bounded.cells.iter_mut().zip(&group.values) {
                    output[group.cell] += value;
                }
            }
        }
        Ok(bounded)
    }
}

/// The bins of an output that is a histogram; nothing of any other.
pub(crate) fn leaves(plan: &PrivatePlan, output: &Output, dataset: &Dataset, postgres: &Postgres) -> Result<Option<Leaves>> {
    let Aggregate::Histogram { measured: of, bins_log2, .. } = &output.aggregate else { return Ok(None) };
    let rows = Rows::of(plan, dataset)?;
    let (x, bins) = (rows.measured(of)?, 1usize << bins_log2);
    let span = i128::from(of.hi) - i128::from(of.lo) + 1;
    let Rows { selected, keys, from, .. } = &rows;
    let script = format!(
        "CREATE TEMPORARY TABLE binned AS SELECT {selected}, divided(({x} - ({lo})) * {bins}, {span}, 'floor') AS bin\n\
         {from} AND {condition} AND {x} IS NOT NULL;\n\
         SELECT {keys}bin, COUNT(*) FROM binned GROUP BY {keys}bin;\n\\echo =\n\
         SELECT COALESCE(MAX(n), 0) FROM (SELECT COUNT(*) AS n FROM binned GROUP BY {keys}the_unit, the_partition) AS p;",
        lo = of.lo,
        condition = rows.condition(output)?,
    );
    let printed = postgres.run(&dataset.name, &script)?;
    let (counts, most) = printed.split_once("=\n").context("psql printed no second result")?;
    let mut cells = vec![vec![0; bins]; count_cells(plan)?];
    for (cell, numbers) in on_grid(counts, plan)? {
        let [bin, count] = numbers.as_slice() else { anyhow::bail!("PostgreSQL prints no bin and count") };
        *cells[cell].get_mut(usize::try_from(whole(bin)?)?).context("a value lies in no bin")? = whole(count)?;
    }
    Ok(Some(Leaves { cells, most_values: most.trim().parse()? }))
}

fn count_cells(plan: &PrivatePlan) -> Result<usize> {
    Ok(usize::try_from(plan.cells().context("the grid is too large")?)?)
}

fn whole(number: &str) -> Result<i128> {
    units(number, 0).with_context(|| format!("{number} is not whole"))
}

/// Printed rows of keys and other columns: the cell of each row, and its other columns.
fn on_grid(printed: &str, plan: &PrivatePlan) -> Result<Vec<(usize, Vec<String>)>> {
    let places: Vec<HashMap<String, usize>> = plan.keys.iter().map(|key| places(plan, key)).collect();
    let mut found = Vec::new();
    for line in printed.lines() {
        let values: Vec<&str> = line.split('\t').collect();
        ensure!(values.len() > plan.keys.len(), "PostgreSQL gives too few columns: {line}");
        let (keys, others) = values.split_at(plan.keys.len());
        let mut cell = 0;
        for ((value, places), key) in keys.iter().zip(&places).zip(&plan.keys) {
            let value = value.split_once('.').map_or(*value, |(whole, _)| whole);
            cell = cell * key.cardinality(plan) + places.get(value).with_context(|| format!("{value} is off the grid"))?;
        }
        found.push((cell, others.iter().map(|&column| column.to_owned()).collect()));
    }
    Ok(found)
}

/// The place on the grid of each declared value of a key, as `on_grid` reads it.
fn places(plan: &PrivatePlan, key: &commun_domain::plan::Key) -> HashMap<String, usize> {
    match &key.source {
        KeySource::Values { values, .. } => values.iter().map(ToString::to_string).zip(0..).collect(),
        KeySource::Open(_) | KeySource::Partition => key.values(plan).into_iter().zip(0..).collect(),
    }
}

/// What the answer calls a value that `PostgreSQL` prints.
pub(crate) fn label(printed: &str, kind: KeyKind) -> String {
    match (kind, printed) {
        (KeyKind::Boolean, "t") => "true".to_owned(),
        (KeyKind::Boolean, "f") => "false".to_owned(),
        (KeyKind::Time, time) => time.strip_suffix(" 00:00:00").unwrap_or(time).to_owned(),
        (KeyKind::Number, number) if number.contains('.') => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        (_, text) => text.to_owned(),
    }
}

/// Decimal digits in which an output is written.
pub(crate) fn scale_of(aggregate: &Aggregate) -> u8 {
    match aggregate {
        Aggregate::Sum { measured, .. } => measured.scale,
        _ => 0,
    }
}

/// A printed decimal in units of 10^-scale; `None` when it is finer. NULL is the sum over nothing.
pub(crate) fn units(text: &str, scale: u8) -> Option<i128> {
    if text == "NULL" {
        return Some(0);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::from(scale);
    if fraction.len() > scale {
        return None;
    }
    format!("{whole}{fraction:0<scale$}").parse().ok()
}
