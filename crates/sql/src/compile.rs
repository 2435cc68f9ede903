//! One question and a data contract to a [`PrivatePlan`], or a refusal.

use commun_domain::calendar::Period;
use commun_domain::contract::{CodeList, Column, ColumnType, DataContract};
use commun_domain::error::Position;
use commun_domain::plan::{Aggregate, AnswerColumn, Key, KeySource, MAX_CELLS, Output, PLAN_VERSION, PrivatePlan};
use commun_domain::query::QuerySettings;
use commun_domain::{Document, Refusal, WireCode};
use sqlparser::ast::{Query, SetExpr, TableWithJoins};
use sqlparser::keywords::Keyword;

use crate::clauses::{self, BareSelect, Construct, bare_query, bare_select, bare_table};
use crate::items::{Item, Kind, check_group_by, item, names};
use crate::names::{Name, Scope};
use crate::predicate::Conditions;
use crate::refuse::{invalid, not_private};
use crate::text::{Parsed, parse};

/// Most items in SELECT.
pub const MAX_SELECT_ITEMS: usize = 64;

/// Most partitions of one question: a hundred years of months.
pub const MAX_PARTITIONS: usize = 1_200;

/// Compiles a question. The same text, contract and settings give the same bytes everywhere (P4); white space, comments, case of
/// keywords, parentheses and the table's alias do not change them.
///
/// # Errors
/// `INVALID_QUERY` for syntax, names, types and values, `NOT_PRIVATE` for what cannot be answered privately as it stands; with a hint,
/// and a place unless the settings are at fault.
pub fn compile(sql: &str, contract: &DataContract, settings: &QuerySettings) -> Result<PrivatePlan, Refusal> {
    let parsed = parse(sql).map_err(|fault| crate::refuse::refuse(WireCode::InvalidQuery, fault.at, fault.message, fault.hint))?;
    let refused = |construct: &Construct| not_private(construct.place(&parsed), format!("{} is not read", construct.name), construct.hint);
    let BareSelect { items, from, filter, group_by } = only_select(&parsed.query).map_err(refused)?;
    let select = parsed.find(&[Keyword::SELECT]);

    let from_place = parsed.find(&[Keyword::FROM]).or(select);
    let [TableWithJoins { relation, joins }] = from else {
        return Err(if from.is_empty() {
            invalid(from_place, "there is no FROM", format!("write FROM {}.table", contract.name))
        } else {
            refused(clauses::JOIN)
        });
    };
    if !joins.is_empty() {
        return Err(refused(clauses::JOIN));
    }
    let (table, alias) = bare_table(relation).map_err(refused)?;
    let scope = Scope::new(contract, table, alias, from_place)?;

    if items.is_empty() || items.len() > MAX_SELECT_ITEMS {
        return Err(invalid(select, format!("SELECT takes 1 to {MAX_SELECT_ITEMS} items"), "ask several questions"));
    }
    let items: Vec<Item<'_>> =
        items.iter().map(|entry| item(&scope, entry, select).map_err(|refusal| located(refusal, select))).collect::<Result<_, _>>()?;
    check_group_by(&scope, &items, group_by).map_err(|refusal| located(refusal, parsed.find(&[Keyword::GROUP])))?;
    if !items.iter().any(|item| matches!(item.kind, Kind::Aggregate(..))) {
        let unit = &contract.unit_column;
        let hint = format!("add COUNT(*), COUNT(DISTINCT {unit}) or SUM(column)");
        return Err(not_private(select, "the question has no aggregate, and rows never leave a holder", hint));
    }
    let mut conditions = Conditions::new(&scope);
    let missing = parsed.find(&[Keyword::WHERE]).or(from_place);
    let (partitions, filter) = conditions.lower(filter, missing).map_err(|refusal| located(refusal, missing))?;

    let keys = items.iter().filter_map(|item| match item.kind {
        Kind::Key(Name::Column(column)) => Some((column, item.at)),
        _ => None,
    });
    for (column, at) in keys.chain(conditions.uses) {
        check_validity(&scope, column, &partitions, at)?;
    }
    let plan = lay_out(&scope, &items, partitions, filter)?;
    check_people(&scope, &items, &plan)?;
    bound_groups(plan, contract, settings, &parsed)
}

/// The refusal at its own place, or else at its clause's.
fn located(refusal: Refusal, clause: Option<Position>) -> Refusal {
    Refusal { position: refusal.position.or(clause), ..refusal }
}

fn only_select(query: &Query) -> Result<BareSelect<'_>, &'static Construct> {
    match bare_query(query)? {
        SetExpr::Select(select) => bare_select(select),
        SetExpr::SetOperation { .. } => Err(clauses::SET_OPERATION),
        SetExpr::Query(_) => Err(clauses::SUBQUERY),
        SetExpr::Values(_) | SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => {
            Err(clauses::VENDOR)
        }
    }
}

fn code_list<'a>(contract: &'a DataContract, column: &Column) -> Option<&'a CodeList> {
    match &column.column_type {
        ColumnType::Code { list, version } => contract.code_list(list, version),
        ColumnType::Number { .. } | ColumnType::Boolean => None,
    }
}

/// A code list's version says for which periods its codes mean what they say; the hint names the version that does.
fn check_validity(scope: &Scope<'_>, column: &Column, partitions: &[Period], at: Option<Position>) -> Result<(), Refusal> {
    let Some(list) = code_list(scope.contract, column) else { return Ok(()) };
    let Some(outside) = partitions.iter().find(|period| !list.covers(**period)) else { return Ok(()) };
    let write = |period: Period| scope.contract.calendar.format(period);
    let message = format!(
        "{} uses {} of version {}, valid from {} to {}, not in {}",
        column.name,
        list.name,
        list.version,
        write(list.valid_from),
        write(list.valid_to),
        write(*outside)
    );
    let others: Vec<String> = scope
        .contract
        .code_lists
        .iter()
        .filter(|other| other.name == list.name && other.covers(*outside))
        .map(|other| {
            let users = scope.table.columns.iter().filter(|column| code_list(scope.contract, column) == Some(other));
            let users: Vec<&str> = users.map(|column| column.name.as_str()).collect();
            let columns = if users.is_empty() { "no column of this table".to_owned() } else { users.join(", ") };
            format!("version {} (used by {columns})", other.version)
        })
        .collect();
    let hint = if others.is_empty() {
        format!("no version of {} is valid in {}; ask other periods", list.name, write(*outside))
    } else {
        format!("in {} use {} of {}", write(*outside), others.join(" or "), list.name)
    };
    Err(invalid(at, message, hint))
}

/// Keys, outputs and columns in SELECT order; every output gets an equal share of rho. L0 is still open.
fn lay_out(
    scope: &Scope<'_>,
    items: &[Item<'_>],
    partitions: Vec<Period>,
    filter: Option<commun_domain::plan::Predicate>,
) -> Result<PrivatePlan, Refusal> {
    let contract = scope.contract;
    let (mut keys, mut aggregates, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    // SELECT has at most MAX_SELECT_ITEMS items, so that no index is cut.
    let index = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
    for (item, name) in items.iter().zip(names(scope, items)?) {
        match &item.kind {
            Kind::Key(source) => {
                columns.push(AnswerColumn::Key(index(keys.len())));
                keys.push(Key { name, source: key_source(contract, *source, item.at)? });
            }
            Kind::Aggregate(aggregate, _) => {
                columns.push(AnswerColumn::Output(index(aggregates.len())));
                aggregates.push((name, aggregate.clone()));
            }
        }
    }
    let share_den = u32::from(index(aggregates.len()));
    let outputs = aggregates.into_iter().map(|(name, aggregate)| Output { name, aggregate, share_num: 1, share_den }).collect();
    Ok(PrivatePlan {
        version: PLAN_VERSION,
        contract: contract.hash(),
        contract_name: contract.name.clone(),
        budget_domain: contract.budget_domain.clone(),
        table: scope.table.name.clone(),
        unit_column: contract.unit_column.clone(),
        partition_column: contract.partition_column.clone(),
        calendar: contract.calendar,
        partitions,
        filter,
        keys,
        outputs,
        columns,
        max_groups_per_person: 1,
    })
}

fn key_source(contract: &DataContract, name: Name<'_>, at: Option<Position>) -> Result<KeySource, Refusal> {
    let wrong = || invalid(at, "this column has no declared values", "ask the supervisor: the data contract is wrong");
    match name {
        Name::Partition => Ok(KeySource::Partition),
        Name::Unit => Err(wrong()),
        Name::Column(column) => match column.column_type {
            ColumnType::Boolean => Ok(KeySource::Boolean { column: column.name.clone() }),
            ColumnType::Number { .. } => Err(wrong()),
            ColumnType::Code { .. } => {
                let list = code_list(contract, column).ok_or_else(wrong)?;
                Ok(KeySource::Code { column: column.name.clone(), codes: list.codes.iter().map(|code| code.code.clone()).collect() })
            }
        },
    }
}

/// A person present in two partitions would be counted once or twice, depending on both: sensitivity across partitions.
fn check_people(scope: &Scope<'_>, items: &[Item<'_>], plan: &PrivatePlan) -> Result<(), Refusal> {
    let people = items.iter().find(|item| matches!(item.kind, Kind::Aggregate(Aggregate::CountUnits, _)));
    match people {
        Some(item) if plan.partitions.len() > 1 && !plan.partition_is_key() => {
            let column = &scope.contract.partition_column;
            Err(not_private(
                item.at,
                format!("people are counted per partition, and the question reads {} together", plan.partitions.len()),
                format!("ask one partition, or select and group by {column}"),
            ))
        }
        _ => Ok(()),
    }
}

/// The grid's limit, and L0: no person can be in more groups of one partition than it has cells.
fn bound_groups(mut plan: PrivatePlan, contract: &DataContract, settings: &QuerySettings, parsed: &Parsed) -> Result<PrivatePlan, Refusal> {
    let at = parsed.find(&[Keyword::GROUP, Keyword::SELECT]);
    let Some(cells) = plan.cells() else {
        return Err(invalid(
            at,
            format!("the group keys have more than {MAX_CELLS} combinations"),
            "use fewer keys, or coarser code lists",
        ));
    };
    let most = contract.max_groups_per_person;
    if !(1..=most).contains(&settings.max_groups_per_person) {
        return Err(Refusal::new(
            WireCode::InvalidQuery,
            format!("max_groups_per_person is {}, and {} allows 1 to {most}", settings.max_groups_per_person, contract.name),
            format!("set commun.max_groups_per_person to 1 to {most}"),
        ));
    }
    let partitions = if plan.partition_is_key() { u64::try_from(plan.partitions.len()).unwrap_or(u64::MAX) } else { 1 };
    let per_partition = u32::try_from(cells / partitions).unwrap_or(u32::MAX);
    plan.max_groups_per_person = settings.max_groups_per_person.min(per_partition).max(1);
    Ok(plan)
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
