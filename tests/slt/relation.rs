//! The plan's relation as SQL of `PostgreSQL`: the second reading of `commun_domain::plan::relation`, but for the rows that are not kept of a
//! person who has too many, as nobody in the tests has.

use anyhow::{Context, Result, bail};
use commun_domain::contract::DataContract;
use commun_domain::plan::relation::{Computed, Fold, Folded, NullPlace, Relation, RowOrder, WindowFunction, Windowed};
use commun_domain::plan::{Condition, PrivatePlan, Value};

use crate::meaning::{Meaning, named, quoted};

/// Whose rows count, of a bound table.
pub(crate) fn of_the_question(plan: &PrivatePlan) -> Vec<String> {
    let periods: Vec<String> = plan.partitions.iter().map(|period| quoted(&plan.calendar.format(*period))).collect();
    vec![format!("{} IS NOT NULL", plan.unit_column), format!("{} IN ({})", plan.partition_column, periods.join(", "))]
}

/// A SELECT with unit, partition and the relation's columns by the order of their names.
pub(crate) fn rows(relation: &Relation, plan: &PrivatePlan, contract: &DataContract) -> Result<String> {
    let who = format!("{}, {}", plan.unit_column, plan.partition_column);
    let below = |input: &Relation| rows(input, plan, contract);
    let meaning = Meaning { contract, table: None };
    Ok(match relation {
        Relation::Table(_) => bail!("a table alone"),
        Relation::Select { input, filter, columns } => {
            let mut columns: Vec<&Computed> = columns.iter().collect();
            columns.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            let (meaning, source, mut rules) = match input.as_table() {
                Some(name) => {
                    let table = contract.table(name).context("the plan names an unknown table")?;
                    (Meaning { contract, table: Some(table) }, format!("bound.{name}"), of_the_question(plan))
                }
                None => (meaning, format!("({}) AS below", below(input)?), vec!["TRUE".to_owned()]),
            };
            rules.extend(filter.as_ref().map(|filter| meaning.condition(filter)).transpose()?);
            let columns = columns.iter().map(|column| Ok(format!(", {} AS {}", meaning.value(&column.value)?, named(&column.name))));
            let (unit, partition) = (&plan.unit_column, &plan.partition_column);
            let columns = columns.collect::<Result<String>>()?;
            format!("SELECT {unit}::text AS {unit}, {partition}::text AS {partition}{columns} FROM {source} WHERE {}", rules.join(" AND "))
        }
        Relation::Union(inputs) => {
            let inputs: Vec<String> = inputs.iter().map(below).collect::<Result<_>>()?;
            inputs.join(" UNION ALL ")
        }
        Relation::Join { left, right, outer, condition } => {
            let (unit, partition) = (&plan.unit_column, &plan.partition_column);
            let mut rules = vec![format!("l.{unit} = r.{unit} AND l.{partition} = r.{partition}")];
            rules.extend(condition.as_ref().map(|condition| meaning.condition(condition)).transpose()?);
            let join = if *outer { "LEFT JOIN" } else { "JOIN" };
            let mut columns = [names(left), names(right)].concat();
            columns.sort_unstable();
            let columns = columns.iter().map(|name| format!(", {}", named(name))).collect::<Vec<_>>().concat();
            format!(
                "SELECT l.{unit}, l.{partition}{columns} FROM ({}) AS l {join} ({}) AS r ON {}",
                below(left)?,
                below(right)?,
                rules.join(" AND ")
            )
        }
        Relation::Group { input, keys, folds } => {
            let mut columns = Vec::new();
            let mut by = who.clone();
            for Computed { name, value } in keys {
                let value = meaning.value(value)?;
                by.extend([", ", &value]);
                columns.push((name, value));
            }
            for Folded { name, fold, condition } in folds {
                columns.push((name, folded(&meaning, fold, condition.as_ref())?));
            }
            columns.sort_unstable();
            let columns = columns.into_iter().map(|(name, value)| format!(", {value} AS {}", named(name))).collect::<Vec<_>>().concat();
            format!("SELECT {who}{columns} FROM ({}) AS below GROUP BY {by}", below(input)?)
        }
        Relation::Window { input, columns: windows } => {
            let mut columns: Vec<(&str, String)> = names(input).into_iter().map(|name| (name, named(name))).collect();
            for windowed in windows {
                columns.push((&windowed.name, window(&meaning, windowed, &names(input), &who)?));
            }
            columns.sort_unstable();
            let columns = columns.into_iter().map(|(name, value)| format!(", {value} AS {}", named(name))).collect::<Vec<_>>().concat();
            format!("SELECT {who}{columns} FROM ({}) AS below", below(input)?)
        }
    })
}

/// The columns of a relation that is no table.
fn names(relation: &Relation) -> Vec<&str> {
    let mut found: Vec<&str> = match relation {
        Relation::Table(_) => Vec::new(),
        Relation::Select { columns, .. } => columns.iter().map(|column| column.name.as_str()).collect(),
        Relation::Union(inputs) => inputs.first().map(names).unwrap_or_default(),
        Relation::Join { left, right, .. } => [names(left), names(right)].concat(),
        Relation::Group { keys, folds, .. } => {
            keys.iter().map(|key| key.name.as_str()).chain(folds.iter().map(|fold| fold.name.as_str())).collect()
        }
        Relation::Window { input, columns } => names(input).into_iter().chain(columns.iter().map(|column| column.name.as_str())).collect(),
    };
    found.sort_unstable();
    found
}

fn folded(meaning: &Meaning<'_>, fold: &Fold, condition: Option<&Condition>) -> Result<String> {
    let of = |value: &Value| meaning.value(value);
    let call = match fold {
        Fold::Rows => "COUNT(*)".to_owned(),
        Fold::Known(value) => format!("COUNT({})", of(value)?),
        Fold::Distinct(value) => format!("COUNT(DISTINCT {})", of(value)?),
        Fold::Sum(value) => format!("SUM({})", of(value)?),
        Fold::Min(value) => format!("MIN({})", of(value)?),
        Fold::Max(value) => format!("MAX({})", of(value)?),
    };
    let filter = condition.map(|condition| Ok::<_, anyhow::Error>(format!(" FILTER (WHERE {})", meaning.condition(condition)?)));
    Ok(format!("{call}{}", filter.transpose()?.unwrap_or_default()))
}

fn window(meaning: &Meaning<'_>, windowed: &Windowed, columns: &[&str], who: &str) -> Result<String> {
    let Windowed { name: _, function, keys, order } = windowed;
    let (call, whole) = match function {
        WindowFunction::RowNumber => ("ROW_NUMBER()".to_owned(), true),
        WindowFunction::Rank => ("RANK()".to_owned(), false),
        WindowFunction::DenseRank => ("DENSE_RANK()".to_owned(), false),
        WindowFunction::Shift { value, by } if *by < 0 => (format!("LAG({}, {})", meaning.value(value)?, -by), true),
        WindowFunction::Shift { value, by } => (format!("LEAD({}, {by})", meaning.value(value)?), true),
        WindowFunction::First(value) => (format!("FIRST_VALUE({})", meaning.value(value)?), true),
        // PostgreSQL has no DISTINCT in windows, nor has the compiler.
        WindowFunction::Fold { fold, condition } => (folded(meaning, fold, condition.as_ref())?, false),
    };
    let mut by = who.to_owned();
    for key in keys {
        by.extend([", ", &meaning.value(key)?]);
    }
    let mut sorted = Vec::new();
    for RowOrder { value, descending, nulls } in order {
        let direction = if *descending { "DESC" } else { "ASC" };
        let nulls = if *nulls == NullPlace::First { "FIRST" } else { "LAST" };
        sorted.push(format!("{} {direction} NULLS {nulls}", meaning.value(value)?));
    }
    if whole {
        sorted.extend(columns.iter().map(|name| format!("{} ASC NULLS FIRST", named(name))));
    }
    let sorted = if sorted.is_empty() { String::new() } else { format!(" ORDER BY {}", sorted.join(", ")) };
    Ok(format!("{call} OVER (PARTITION BY {by}{sorted})"))
}
